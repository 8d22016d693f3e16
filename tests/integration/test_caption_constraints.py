"""``mmtx caption`` with required and forbidden words, prefixes, expressions and answers."""

import json

import pytest

from tests.command_line import mmtx, refused, succeeded
from tests.messages import mentions

from .fixtures import AWKWARD_NAME


@pytest.fixture
def caption(place, scenes, captioner, tmp_path):
    """Captions three pictures; returns the rows."""
    found = sorted((place / AWKWARD_NAME / "scenes" / "images").iterdir())[:3]
    (tmp_path / "list.txt").write_text("\n".join(map(str, found)))

    def captioned(*keys, run=mmtx):
        out = tmp_path / "out"
        return run(
            "caption",
            captioner,
            f"inputs='@{tmp_path}/list.txt'",
            f"run_dir='{out}'",
            "data.num_workers=0",
            *keys,
            cwd=place,
        )

    return captioned


def texts(done):
    succeeded(done)
    return [json.loads(line)["caption"] for line in done.stdout.splitlines()[:3]]


def test_required_and_forbidden_words(caption):
    found = texts(caption("generation.include=[purple,'left of']", "generation.exclude=[a,small]"))
    for text in found:
        words = text.split()
        assert "purple" in words
        assert "left of" in text
        assert not {"a", "small"} & set(words)


def test_answers_from_a_file(caption, tmp_path):
    (tmp_path / "answers.txt").write_text("A Circle\nsquare\n\n")
    found = texts(caption(f"generation.choices='@{tmp_path}/answers.txt'"))
    assert set(found) <= {"A Circle", "square"}


@pytest.mark.parametrize(
    ("keys", "mentioned"),
    [
        (["generation.include=[circle]", "generation.exclude=[Circle]"], ["include='circle'"]),
        (["generation.regex='^a$'"], ["generation.regex='^a$'", "without the anchors"]),
        (["generation.choices=@missing.txt"], ["generation.choices: @missing.txt", "No such file"]),
        (["generation.choices=yes"], ["generation.choices", "write generation.choices='[yes]'"]),
        (["generation.prefix=' '"], ["generation.prefix: empty"]),
        (["generation.include=['']"], ["generation.include", "empty text"]),
        (
            ["generation.prefix='one two three four five six seven eight'", "max_length=8"],
            ["generation.prefix", "at most"],
        ),
        (
            ["generation.include=[one,two,three]", "generation.max_new_tokens=3"],
            ["generation.include='one'", "at least", "at most 3"],
        ),
    ],
)
def test_constraints_that_cannot_hold(caption, keys, mentioned):
    mentions(caption(*keys, run=refused), *mentioned)
