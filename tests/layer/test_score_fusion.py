import pytest
import torch

from mmtx_cli.layer.score_fusion import KINDS, ScoreFusion
from tests.messages import raises

NAMES = ("audio", "image", "text")
PRESENT = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]]).bool()


def scores():
    return {name: torch.randn(4, 5, dtype=torch.float64) for name in NAMES}


def present(there=PRESENT):
    return dict(zip(NAMES, there.T, strict=True))


def make_vote(kind):
    vote = ScoreFusion(kind, NAMES, 5).double()
    with torch.no_grad():
        for parameter in vote.parameters():
            parameter.add_(torch.randn_like(parameter))
    return vote


def those(given, i):
    return torch.stack([given[m][i] for m, there in zip(NAMES, PRESENT[i], strict=True) if there])


@pytest.mark.parametrize("kind", KINDS)
def test_absent_streams_have_no_weight(kind):
    vote, given = make_vote(kind), scores()
    found = vote(given, present())
    other = {m: torch.where(present()[m][:, None], x, 1e3) for m, x in given.items()}
    assert torch.equal(vote(other, present()), found)
    assert not found[3].any()


def test_mean():
    given = scores()
    found = ScoreFusion("mean", NAMES, 5)(given, present())
    for i in range(3):
        torch.testing.assert_close(found[i], those(given, i).mean(dim=0))


def test_weights_are_normalized_over_present_streams():
    vote, given = make_vote("weights"), scores()
    found = vote(given, present())
    for i in range(3):
        share = vote.weight[PRESENT[i]].softmax(dim=0)
        torch.testing.assert_close(found[i], share @ those(given, i))


def test_a_product_of_experts():
    given = scores()
    found = ScoreFusion("product", NAMES, 5)(given, present()).softmax(dim=1)
    for i in range(3):
        product = those(given, i).softmax(dim=1).prod(dim=0)
        torch.testing.assert_close(found[i], product / product.sum())


def test_stacking_begins_as_the_mean_and_learns():
    given = scores()
    begun = ScoreFusion("stacking", NAMES, 5).double()
    torch.testing.assert_close(
        begun(given, present(PRESENT[:1].expand(4, 3))), torch.stack([*given.values()]).mean(dim=0)
    )
    vote = make_vote("stacking")
    each = [given[m][1] * PRESENT[1, i] for i, m in enumerate(NAMES)]
    expected = vote.stack(torch.cat([*each, PRESENT[1].double()]))
    torch.testing.assert_close(vote(given, present())[1], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_one_stream_alone_needs_no_rule(kind):
    vote = ScoreFusion(kind, ["text"], 5)
    given = {"text": torch.randn(2, 5)}
    assert not list(vote.parameters())
    assert torch.equal(vote(given, {"text": torch.ones(2).bool()}), given["text"])


def test_an_invalid_kind():
    with raises(ValueError, "vote='median' ", "mean, weights"):
        ScoreFusion("median", NAMES, 5)
