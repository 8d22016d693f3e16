import json
from pathlib import Path

from mmtx_cli.metric.diversity import caption_diversity
from mmtx_cli.report.diversity import diversity_parts
from mmtx_cli.report.html import write_report
from tests.messages import mentions

from .page import Page


def test_table_of_captions_beside_references() -> None:
    figures = caption_diversity(["a"] * 3 + ["b"], list("abcd"), ["b"])
    (part,) = diversity_parts({"diversity": {"caption": figures}})
    assert [*part.most_frequent] == [column.title for column in part.table.columns]
    assert [row.cells for row in part.table.rows] == [
        ["4", "4"],
        ["2", "4"],
        ["50 %", "100 %"],
        ["3", "1"],
        ["75 %", "25 %"],
        ["1", ""],  # copies of training captions
        ["25 %", ""],
        ["1", ""],
    ]
    assert [*part.most_frequent.values()] == ["a", "a"]


def test_an_odd_file_gives_no_table() -> None:
    for odd in ({}, {"diversity": []}, {"diversity": {"caption": 3}}):
        assert diversity_parts(odd) == []


def test_the_page_shows_a_warning_box_and_escapes_the_caption(run_dir: Path) -> None:
    result = json.loads((run_dir / "result.json").read_text())
    assert 'class="warning"' not in Page(write_report(run_dir)).source
    figures = caption_diversity(["<b>a</b>"] * 4, list("abcd"))
    (run_dir / "result.json").write_text(json.dumps(result | {"diversity": {"caption": figures}}))
    page = Page(write_report(run_dir))
    mentions(page.text, "4 of 4 samples", "“<b>a</b>”")
    assert page.source.count('class="warning"') == 1
    assert "Caption diversity" in page.headings
    assert page.unmatched == []
