"""Which heads and which runs report the diversity of their captions."""

from types import SimpleNamespace

from mmtx_cli.inference.caption_diversity import (
    captioned_diversity,
    evaluated_diversity,
    print_warnings,
)


def rows(captions):
    return [{"caption": c, "references": [f"first {i}", "other"]} for i, c in enumerate(captions)]


def test_captioning_heads_alone_are_reported():
    results = {
        "captioning": ([], rows("aaab"), None),
        "answering": ([], [{"prediction": "yes", "answers": ["no"]}], None),
        "empty": ([], [], None),
    }
    training = [SimpleNamespace(captions=("B", "c")), SimpleNamespace(captions=())]
    found = evaluated_diversity(results, training, complete=True)
    assert list(found) == ["captioning"]
    figures = found["captioning"]
    assert figures["in_training_share"] == 0.25
    assert figures["references"]["most_frequent"] == "first 0"
    assert "3 of 4 samples" in figures["warning"]
    found = evaluated_diversity(results, training, complete=False)
    assert "warning" not in found["captioning"]


def test_few_captions_and_unreadable_files_are_left_out():
    good = [{"path": str(i), "caption": "a"} for i in range(8)]
    bad = [{"path": "x", "error": "broken"}]
    assert captioned_diversity(good[:3] + bad) is None
    found = captioned_diversity(good + bad)
    assert found["count"] == 8
    assert "warning" in found
    # the pieces of one film may well look alike
    assert "warning" not in captioned_diversity([{**row, "path": "film"} for row in good])


def test_a_caption_with_markup_is_printed_as_it_is(capsys):
    print_warnings({"a": {"warning": "“[bold]x[/oops]”"}, "b": {}})
    out, err = capsys.readouterr()
    assert (out, err) == ("", "warning: “[bold]x[/oops]”\n")
