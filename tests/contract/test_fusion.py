"""What every fusion of conf/fusion promises by itself, of any modalities and any subset of them."""

from itertools import combinations

import pytest
import torch

from mmtx_cli.model.build import component
from mmtx_cli.types import FUSED, Tokens
from tests.tiny import DIM, FUSIONS, build_or_skip, composed, gradients, same

MODALITIES = {
    2: ("text", "image"),
    3: ("text", "image", "audio"),
    4: ("text", "image", "audio", "video"),
}
COUNTS = {"text": 5, "image": 2, "audio": 7, "video": 3}
"""Tokens of a sample that has the modality."""

by_fusion = pytest.mark.parametrize("name", FUSIONS)
by_count = pytest.mark.parametrize("count", MODALITIES)


def subsets(names):
    """Every subset, the whole first, nothing last."""
    return [kept for n in range(len(names), -1, -1) for kept in combinations(names, n)]


def built(name, modalities, *args):
    """A fusion whose parameters are all far from where they begin: gates are open, too."""
    torch.manual_seed(0)
    node = composed(f"fusion={name}", *args)["fusion"]
    fusion = build_or_skip(lambda: component("fusion", node, modalities=list(modalities)))
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return fusion.eval()


def streams_of(presence, modalities, dtype=torch.float32, seed=1):
    """One sample for each of ``presence``; of the tokens that it has, the last may be padding."""
    random = torch.Generator().manual_seed(seed)
    streams = {}
    for m in modalities:
        n = COUNTS[m]
        x = torch.randn(len(presence), n, DIM, generator=random, dtype=dtype)
        real = torch.tensor(
            [n - (i + n) % 2 if m in kept else 0 for i, kept in enumerate(presence)]
        )
        mask = torch.arange(n) < real[:, None]
        streams[m] = Tokens(x.masked_fill(~mask[..., None], 0), mask)
    return streams


def outcome(fusion, streams):
    """What a fusion made: the fused stream, or all where it adds none."""
    found = fusion(streams)
    return {FUSED: found[FUSED]} if FUSED in found else found


def tensors(streams):
    return {f"{m}.{k}": v for m, s in streams.items() for k, v in (("x", s.x), ("mask", s.mask))}


@pytest.fixture(scope="module", params=[(n, c) for n in FUSIONS for c in MODALITIES])
def case(request):
    """A fusion, its modalities, and a sample for every subset of them."""
    name, count = request.param
    modalities = MODALITIES[count]
    return built(name, modalities), modalities, subsets(modalities)


def skip_unless_joining(fusion):
    if not fusion.joins:
        pytest.skip("joins nothing")


def joining(case):
    """The case of a fusion that makes a stream of its own."""
    skip_unless_joining(case[0])
    return case


def test_streams_in_streams_out(case):
    fusion, modalities, presence = case
    given = streams_of(presence, modalities)
    found = fusion(given)
    assert set(found) == set(fusion.streams) == {*modalities, *([FUSED] if fusion.joins else [])}
    assert all(found[m] is given[m] for m in modalities)
    for tokens in found.values():
        assert tokens.x.shape == (*tokens.mask.shape, DIM)
        assert tokens.mask.dtype == torch.bool
        assert tokens.x.isfinite().all()
        assert not tokens.x[~tokens.mask].any()
    if fusion.joins:
        assert found[FUSED].present.tolist() == [bool(kept) for kept in presence]


def test_what_is_absent_never_matters(case):
    fusion, modalities, presence = joining(case)
    given = streams_of(presence, modalities)
    noisy = {
        m: Tokens(torch.where(s.mask[..., None], s.x, 100 * torch.randn_like(s.x)), s.mask)
        for m, s in given.items()
    }
    same(tensors(outcome(fusion, noisy)), tensors(outcome(fusion, given)))


def test_samples_are_independent(case):
    fusion, modalities, presence = case
    given = streams_of(presence, modalities)
    together = tensors(outcome(fusion, given))
    order = torch.randperm(len(presence), generator=torch.Generator().manual_seed(3))
    turned = {m: Tokens(s.x[order], s.mask[order]) for m, s in given.items()}
    same(tensors(outcome(fusion, turned)), {k: v[order] for k, v in together.items()}, 1e-5)
    for i in range(len(presence)):
        alone = {m: Tokens(s.x[i : i + 1], s.mask[i : i + 1]) for m, s in given.items()}
        same(tensors(outcome(fusion, alone)), {k: v[i : i + 1] for k, v in together.items()}, 1e-5)


def test_padding_changes_nothing(case):
    """More places without anything in them leave what is real as it was."""
    fusion, modalities, presence = case
    given = streams_of(presence, modalities)
    wider = {
        m: Tokens(
            torch.cat([s.x, torch.zeros_like(s.x)], dim=1),
            torch.cat([s.mask, torch.zeros_like(s.mask)], dim=1),
        )
        for m, s in given.items()
    }
    short, long = outcome(fusion, given), outcome(fusion, wider)
    for name in short:
        torch.testing.assert_close(
            short[name].x[short[name].mask], long[name].x[long[name].mask], atol=1e-5, rtol=1e-5
        )


def test_the_order_of_the_modalities_has_no_meaning(case):
    fusion, modalities, presence = case
    given = streams_of(presence, modalities)
    turned = dict(reversed(given.items()))
    same(tensors(outcome(fusion, turned)), tensors(outcome(fusion, given)))


def test_every_present_modality_matters(case):
    """Unless it is turned off by configuration, nothing that a sample has is lost."""
    fusion, modalities, presence = joining(case)
    given = streams_of(presence, modalities)
    straight = outcome(fusion, given)[FUSED]
    for m in modalities:
        moved = Tokens(
            given[m].x * (1 + torch.randn(DIM)) * given[m].mask[..., None], given[m].mask
        )
        other = outcome(fusion, {**given, m: moved})[FUSED]
        change = (other.x - straight.x).abs().amax(dim=(1, 2))
        for i, kept in enumerate(presence):
            assert (change[i] > 1e-5) == (m in kept), (m, kept)


def test_gradients_reach_every_parameter(case):
    fusion, modalities, presence = case
    if not list(fusion.parameters()):
        pytest.skip("has no parameters")
    fusion.train().zero_grad()
    found = outcome(fusion, streams_of(presence, modalities))[FUSED]
    (found.x * torch.randn_like(found.x)).sum().backward()
    fusion.eval()
    reached = gradients(fusion)
    assert reached.keys() == dict(fusion.named_parameters()).keys()
    assert [name for name, g in reached.items() if not g.any()] == []
    assert all(g.isfinite().all() for g in reached.values())


def test_half_precision(case):
    fusion, modalities, presence = case
    given = streams_of(presence, modalities)
    whole = outcome(fusion, given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = outcome(fusion, given)
    for name in whole:
        assert half[name].x.isfinite().all()
        # of many layers with large weights: the like, not the same
        error = (half[name].x.float() - whole[name].x).norm() / whole[name].x.norm().clamp(min=1)
        assert error < 0.1, name


@by_fusion
@pytest.mark.parametrize("kept", subsets(MODALITIES[3]), ids="+".join)
def test_arithmetic_in_double_precision(name, kept):
    """Gradients by autograd are those of finite differences, whatever is there."""
    fusion = built(name, MODALITIES[3]).double()
    skip_unless_joining(fusion)
    given = streams_of([kept], MODALITIES[3], torch.float64)
    masks = [s.mask for s in given.values()]

    def fused(*xs):
        streams = {m: Tokens(x, k) for m, x, k in zip(given, xs, masks, strict=True)}
        return fusion(streams)[FUSED].x

    xs = [s.x.requires_grad_() for s in given.values()]
    assert torch.autograd.gradcheck(fused, xs, fast_mode=True)


@by_fusion
def test_one_modality_alone(name):
    fusion = built(name, ["image"])
    found = outcome(fusion, streams_of([("image",), ()], ["image"]))
    for tokens in found.values():
        assert tokens.x.isfinite().all()
        assert tokens.present.tolist() == [True, False]


@by_fusion
@by_count
def test_a_saved_state_brings_everything_back(name, count, tmp_path):
    modalities = MODALITIES[count]
    fusion, given = built(name, modalities), streams_of(subsets(modalities), modalities)
    torch.save(fusion.state_dict(), tmp_path / "state.pt")
    node = composed(f"fusion={name}")["fusion"]
    other = component("fusion", node, modalities=[*reversed(modalities)]).eval()
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    same(tensors(outcome(other, given)), tensors(outcome(fusion, given)))
