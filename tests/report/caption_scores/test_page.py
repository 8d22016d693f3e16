import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.report.caption_scores.page import write_scores_page
from mmtx_cli.report.caption_scores.samples import Sample, SamplePart, SystemCaption
from tests.report.page import Page
from tests.server.browser import browser

from .test_tables import RESULT

HOSTILE = "</p><script>alert('caption')</script>"


@pytest.fixture
def page(tmp_path):
    """The page of two systems, with a picture, a missing one and a hostile caption."""
    run = tmp_path / "run"
    run.mkdir()
    picture = tmp_path / "one.png"
    Image.new("RGB", (400, 300), (90, 120, 200)).save(picture)
    result = RESULT | {"command": "score", "notes": ["2 captions were <cut>"], "seconds": 2}
    (run / "result.json").write_text(json.dumps(result))
    (run / "config.yaml").write_text("seed: 1\n")
    captions = [SystemCaption("a", "a red ball", 1.5), SystemCaption("b", HOSTILE, 0.25)]
    samples = [
        Sample("one", {"image": picture}, captions, ("the ball", "a ball", "ball", "red"), "cider"),
        Sample("two", {"image": tmp_path / "none.png"}, [SystemCaption("a", "", None)], ("x",), ""),
    ]
    values = {name: {"cider": np.arange(20.0), "length": np.ones(20)} for name in "ab"}
    parts = [SamplePart("“a” is better than “b”", samples)]
    return write_scores_page(run, result, values, parts, "cider")


def test_shows_what_the_folder_holds(page: Path) -> None:
    found = Page(page)
    assert found.unmatched == []
    for heading in ("Scores of a, b", "Metrics", "a minus b", "Distributions", "Samples"):
        assert heading in found.headings
    for text in (
        "2 captions were <cut>",
        "Ranked by cider",
        "mmtx score",
        "a is better",
        "+0.100",
        "50 % / 25 % / 25 %",
        "tokenizer ptb",
        "a · cider 1.50",
        "(empty caption)",
        "file not found",
        "1 more",
        "seed: 1",
    ):
        assert text in found.text
    assert HOSTILE in found.text
    assert found.all("script") == []
    (image,) = found.all("img")
    assert image["src"].startswith("data:image/jpeg")
    assert "default-src 'none'" in found.source


@pytest.mark.slow
@pytest.mark.parametrize("width", [500, 1100])
def test_fits_its_window(page: Path, tmp_path: Path, width: int) -> None:
    with browser(tmp_path / "browser", width) as tab:
        tab.open(page.as_uri())
        root = "document.documentElement"
        assert tab.run(f"{root}.scrollWidth <= {root}.clientWidth")
        assert tab.problems() == []
