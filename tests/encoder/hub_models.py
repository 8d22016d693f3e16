"""Small models of the transformers library, saved as it saves them, and what all encoders keep."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from mmtx_cli.types import ModalityInput
from tests.tiny import same

SMALL = {"width": 32, "depth": 2, "num_heads": 2}
CONFIG = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64
}  # fmt: skip
MASK = torch.arange(5) < torch.tensor([3, 0, 5, 1])[:, None]
IDS = torch.randint(5, 30, (4, 5), generator=torch.Generator().manual_seed(0))


def pictures(size=32, t=5):
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, t, 3, size, size), generator=random, dtype=torch.uint8)


def trained(module):
    return {name for name, p in module.named_parameters() if p.requires_grad}


def check_padding_and_gradients(encoder, field):
    """Padding and batch mates do not matter, and what is trained gets a gradient."""
    tokens = encoder.eval()(field)
    assert tokens.x.isfinite().all()
    assert tokens.present.tolist() == field.mask.any(dim=1).tolist()
    for i, count in enumerate(field.mask.sum(dim=1).tolist()):
        if count:
            single = encoder(
                ModalityInput(field.data[i : i + 1, :count], field.mask[i : i + 1, :count])
            )
            same(single.x[single.mask], tokens.x[i][tokens.mask[i]], 2e-5)
    x = encoder.train()(field).x
    x.square().sum().backward()
    without_gradient = {
        n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None
    }
    assert not without_gradient


def saved(model, folder, *processors):
    for part in (model.eval(), *processors):
        part.save_pretrained(folder)
    return str(folder)


def offline_output(code, home):
    """Lines that a process of its own prints, without a network and with nothing downloaded."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "TORCH_HOME": str(home)}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **offline, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.splitlines()
