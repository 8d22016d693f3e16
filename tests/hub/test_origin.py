"""Which parameters are pretrained, as a run states it."""

import torch
from torch import nn

from mmtx_cli.hub.origin import mark_pretrained, pretrained_count, weights_summary


def test_where_pretrained_and_new_weights_are():
    model = nn.ModuleDict({"encoder": nn.ModuleDict({"image": nn.Linear(9, 10)})})
    assert pretrained_count(model) == {}
    mark_pretrained([model["encoder"]["image"].weight])
    model["encoder"]["image"].weight.requires_grad_(False)
    model["project"] = nn.ModuleDict({"image": nn.Linear(1000, 1000, bias=False)})
    assert pretrained_count(model) == {"pretrained_parameters": 90}
    assert weights_summary(model) == (
        "pretrained and frozen: 0.00 M (encoder.image); "
        "new and trained: 1.00 M (encoder.image, project.image)"
    )


def test_a_copy_of_the_values_keeps_the_mark():
    layer = nn.Linear(2, 2)
    mark_pretrained(layer.parameters())
    layer.load_state_dict({"weight": torch.zeros(2, 2), "bias": torch.zeros(2)})
    assert pretrained_count(layer) == {"pretrained_parameters": 6}
