import json
from pathlib import Path

from mmtx_cli.metric.diversity import caption_diversity
from mmtx_cli.report.diversity import diversity_parts
from mmtx_cli.report.html import write_report

from .page import Page


def test_table_of_captions_beside_references() -> None:
    figures = caption_diversity(["a"] * 3 + ["b"], list("abcd"), ["b"])
    (part,) = diversity_parts({"diversity": {"caption": figures}})
    assert [column.title for column in part.table.columns] == ["generated", "first references"]
    cells = {row.name: row.cells for row in part.table.rows}
    assert cells["distinct captions"] == ["2", "4"]
    assert cells["share of samples with the same caption"] == ["75 %", "25 %"]
    assert cells["captions that copy a training caption"] == ["1", ""]
    assert cells["share that copies a training caption"] == ["25 %", ""]
    assert cells["distinct captions that copy a training caption"] == ["1", ""]
    assert part.most_frequent == {"generated": "a", "first references": "a"}


def test_an_odd_file_gives_no_table() -> None:
    for odd in ({}, {"diversity": []}, {"diversity": {"caption": 3}}):
        assert diversity_parts(odd) == []


def test_the_page_shows_a_warning_box_and_escapes_the_caption(run_dir: Path) -> None:
    result = json.loads((run_dir / "result.json").read_text())
    assert 'class="warning"' not in Page(write_report(run_dir)).source
    figures = caption_diversity(["<b>a</b>"] * 4, list("abcd"))
    (run_dir / "result.json").write_text(json.dumps(result | {"diversity": {"caption": figures}}))
    page = Page(write_report(run_dir))
    assert "4 of 4 samples have the same caption “<b>a</b>”" in page.text
    assert page.source.count('class="warning"') == 1
    assert "Diversity of captions" in page.headings
    assert page.unmatched == []
