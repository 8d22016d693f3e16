import torch

from mmtx_cli.fusion.gated import GatedFusion
from mmtx_cli.types import FUSED
from tests.fusion.streams import DIM, mean, streams


def test_two_modalities_share_a_gate_as_in_the_paper():
    fusion, given = GatedFusion(DIM, ["text", "image"]).double(), streams()
    image, text = (fusion.norm[m](mean(given[m], 0)) for m in ("image", "text"))
    for_image, for_text = fusion.gate(torch.cat([image, text])).chunk(2)
    z = (for_image - for_text).sigmoid()
    h = z * fusion.hidden["image"](image).tanh() + (1 - z) * fusion.hidden["text"](text).tanh()
    torch.testing.assert_close(fusion(given)[FUSED].x[0, 0], h)


def test_one_that_is_alone_is_trusted():
    fusion, given = GatedFusion(DIM, ["text", "image", "audio"]).double(), streams()
    found = fusion({**given, "audio": streams(audio=(0,) * 4)["audio"]})[FUSED].x
    alone = fusion.hidden["text"](fusion.norm["text"](mean(given["text"], 1))).tanh()
    torch.testing.assert_close(found[1, 0], alone)
