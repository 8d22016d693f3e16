import json
from pathlib import Path

from mmtx_cli.report.attributes import attribute_table
from mmtx_cli.report.html import write_report

from .page import Page

PART = {
    "count": 9,
    "counts": {"color": 9, "sound": 4, "when": 0},
    "metrics": {"color": 0.5, "sound": 1.0},
    "intervals": {"color": [0.3, 0.7], "sound": [1.0, 1.0]},
}


def test_a_row_an_attribute_and_a_column_an_evaluation() -> None:
    table = attribute_table({"all": PART, "silent": PART | {"metrics": {}}})
    assert table is not None
    assert [column.title for column in table.columns] == ["samples", "all", "silent"]
    assert [(row.name, row.cells) for row in table.rows] == [
        ("color", ["9", "0.50 [0.30, 0.70]", "–"]),
        ("sound", ["4", "1.00 [1.00, 1.00]", "–"]),
    ]


def test_an_odd_file_gives_no_table() -> None:
    for odd in ({}, {"all": 3}, {"all": {"counts": []}}, {"all": PART | {"counts": {}}}):
        assert attribute_table(odd) is None


def test_the_page_shows_attributes_and_references_of_captions(tmp_path: Path) -> None:
    (tmp_path / "attributes.json").write_text(json.dumps({"all": PART}))
    caption = {"path": "gone.mp4", "caption": "a ring", "references": ["a red ring"]}
    (tmp_path / "captions.jsonl").write_text(json.dumps(caption) + "\n")
    page = Page(write_report(tmp_path))
    assert any("attributes" in heading for heading in page.headings)
    assert "0.50 [0.30, 0.70]" in page.text
    assert "a red ring" in page.text
    assert page.unmatched == []
