"""Heat maps of captions in the report."""

import json

import pytest
from PIL import Image

from mmtx_cli.report.explanations import explanations
from mmtx_cli.report.html import write_report


def png(folder, name="000000_a.png", size=(20, 10)):
    (folder / "explanations").mkdir(exist_ok=True)
    Image.new("RGB", size, "red").save(folder / "explanations" / name)
    return f"explanations/{name}"


def row(path, caption="a red <b>", name="photos/a.jpg"):
    return {"path": name, "caption": caption, "explanation": path}


def test_the_first_ones_are_shown(tmp_path):
    rows = [row(png(tmp_path, f"{i}.png"), f"caption {i}") for i in range(3)]
    found = explanations(tmp_path, [{"path": "x", "error": "broken"}, *rows], 2)
    assert found.count == 3
    assert [item.caption for item in found.shown] == ["caption 0", "caption 1"]
    assert (found.shown[0].width, found.shown[0].height) == (20, 10)
    assert found.shown[0].name == "a.jpg"
    assert explanations(tmp_path, [{"path": "x", "caption": "y"}], 2) is None


def test_the_page_has_a_text_in_place_of_each_image(tmp_path):
    rows = [row(png(tmp_path)), row("explanations/missing.png", "a cat")]
    (tmp_path / "captions.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in rows))
    page = write_report(tmp_path).read_text()
    assert 'alt="Heat map of each word of the caption “a red &lt;b&gt;” of a.jpg"' in page
    assert page.count('<figure class="explained">') == 2
    assert page.count("data:image/png;base64,") == 1
    assert "cannot be read" in page


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png", "/etc/passwd", "explanations/../../x.png", "explanations/a/b.png",
        "explanations/a.svg", "explanations/.png", 7, ["explanations/a.png"],
    ],
)  # fmt: skip
def test_other_files_are_not_read(tmp_path, path):
    (item,) = explanations(tmp_path, [row(path)], 5).shown
    assert item.uri == ""
    assert item.problem == "not a file of this run folder"


def test_what_is_no_png_of_a_sensible_size(tmp_path):
    big = png(tmp_path, "big.png", (5000, 5000))
    (tmp_path / "explanations" / "text.png").write_text("no picture")
    (tmp_path / "explanations" / "folder.png").mkdir()
    paths = [big, "explanations/text.png", "explanations/folder.png"]
    found = explanations(tmp_path, [row(path) for path in paths], 5)
    assert all(item.uri == "" for item in found.shown)
    assert found.shown[0].problem == "too large"
    assert all("cannot be read" in item.problem for item in found.shown[1:])
