from types import SimpleNamespace

from mmtx_cli.command import contribution


class Every:
    """Answers of every head on every view."""

    def of(self, head, view):
        return head, view


def test_what_a_head_predicts_itself_is_not_taken_from_it(monkeypatch):
    """Hidden patches of another picture are other targets: a figure would say nothing."""
    monkeypatch.setattr(contribution, "score", lambda head, said, *_: ({}, said))
    monkeypatch.setattr(contribution, "change", lambda scores, *_: scores)
    heads = {
        "masked": SimpleNamespace(raw=("image",), scores_every_text=False),
        "label": SimpleNamespace(raw=(), scores_every_text=False),
    }
    scored = dict.fromkeys(heads, ((), (), None))
    shuffled = {"image": Every(), "text": Every()}
    model = SimpleNamespace(head=heads)
    found = contribution.contributions(model, scored, Every(), shuffled, None, 10, 0)
    assert {name: set(own) for name, own in found.items()} == {
        "masked": {"text"},
        "label": {"image", "text"},
    }
