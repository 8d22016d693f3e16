import torch

from mmtx_cli.fusion.cross_attention import CrossAttentionFusion
from mmtx_cli.types import FUSED
from tests.fusion.streams import DIM, moved, streams
from tests.messages import raises


def make_fusion(names=("text", "image"), **settings):
    return CrossAttentionFusion(DIM, names, num_heads=1, **{"depth": 1, **settings}).double()


def test_one_layer_by_hand():
    """A naive loop over the tokens of a sample that has both."""
    fusion, given = make_fusion(), streams()
    layer, x = fusion.layers[0], {m: s.x[0, s.mask[0]] for m, s in given.items()}
    normed = {m: layer.norm[m](x[m]) for m in x}
    rows = []
    for m, other in (("image", "text"), ("text", "image")):
        look = layer.look[m]
        context = normed[other] + layer.sequenced[m].kind[other]
        key, value = look.key_value(context).chunk(2, dim=1)
        seen = []
        for query in look.query(normed[m]):
            weight = torch.stack([query @ k / DIM**0.5 for k in key]).softmax(dim=0)
            seen.append(look.out(sum(w * v for w, v in zip(weight, value, strict=True))))
        rows.append(layer.block[m]((x[m] + torch.stack(seen))[None])[0])
    found = fusion(given)[FUSED]
    torch.testing.assert_close(found.x[0, found.mask[0]], fusion.norm(torch.cat(rows)))


def test_a_chosen_query_looks_and_the_context_stays():
    fusion, given = make_fusion(query=["text"], context=["image"]), streams()
    found = fusion(given)[FUSED]
    assert found.x.shape[1] == given["text"].x.shape[1]
    change = (fusion(moved(given, "image"))[FUSED].x - found.x).abs().amax((1, 2)) > 1e-7
    # where the text is absent, its stand-in has looked at the image all the same
    assert change.tolist() == [True, False, True, False]
    assert set(fusion.layers[0].norm) == {"image", "text"}
    assert set(fusion.layers[0].block) == {"text"}


def test_nobody_looks_at_a_stand_in():
    fusion, given = make_fusion(depth=2), streams()
    before = fusion(given)[FUSED]
    with torch.no_grad():
        fusion.stand_ins.token["image"].add_(1)
    after = fusion(given)[FUSED]
    text = before.x.shape[1] - given["text"].x.shape[1]
    torch.testing.assert_close(before.x[1, text:], after.x[1, text:], atol=0, rtol=0)


def test_invalid_names():
    with raises(ValueError, "query: ", "modality 'audio'", " image, "):
        make_fusion(query=["audio"])
    with raises(ValueError, "query: ", "'text'", "context"):
        make_fusion(query=["text"], context=["text"])
    with raises(ValueError, "context ", "empty"):
        make_fusion(context=[])
