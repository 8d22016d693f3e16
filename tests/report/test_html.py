import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmtx_cli.errors import DataError
from mmtx_cli.report.html import write_report
from tests.messages import mentions, mentions_missing, raises

from .page import Page


@pytest.fixture
def page(run_dir: Path) -> Page:
    return Page(write_report(run_dir, gallery=4))


def test_shows_every_part_of_a_run(page: Page) -> None:
    for heading, part in zip(page.headings, ("run", "Metrics", "aselines", "Curves"), strict=False):
        mentions(heading, part)
    mentions("\n".join(page.headings), "“caption”", "“color”", "Confusion")
    assert [page.headings.count(part) for part in ("Best", "Worst", "Random")] == [3, 3, 3]
    for text in ("mmtx eval", "2023-11-14 22:13 UTC", "3 min 20 s", "most frequent caption"):
        assert text in page.text
    assert "3.21 [3.02, 3.40]" in page.text
    assert "+3.09 [+2.90, +3.30]" in page.text
    assert "color/accuracy 0.70 is not better than <most frequent class>." in page.text
    assert "n = 10" in page.text
    assert "gpu.name" in page.text
    assert "dim: 64" in page.text
    assert page.unmatched == []


def test_wide_tables_break_between_a_figure_and_its_interval(run_dir: Path) -> None:
    """The subsets of three modalities and what each contributes, in a box that scrolls at need."""
    part = {"metrics": {"caption/cider": 3.2134}, "intervals": {"caption/cider": [3.02, 3.4]}}
    both = " + ".join
    names = ["text", "image", "audio", both(["text", "image"]), both(["text", "audio"])]
    changed = {"metrics": {"cider": 3.0}, "change": {"cider": -0.25}, "intervals": {}}
    changed["intervals"] = {"cider": [-0.31, -0.19]}
    kinds = dict.fromkeys(("shuffled", "zeroed", "absent", "alone", "probe"), changed)
    result = json.loads((run_dir / "result.json").read_text())
    more = {"subsets": dict.fromkeys(names, part), "contribution": {"caption": {"text": kinds}}}
    (run_dir / "result.json").write_text(json.dumps({**result, **more}))
    page = Page(write_report(run_dir, gallery=4))
    # of all modalities, beside its baselines, and of each subset
    assert page.source.count("3.21 <span>[3.02, 3.40]</span>") == 1 + 1 + len(names)
    assert page.source.count("3.00<br>-0.250 <span>[-0.310, -0.190]</span>") >= 4
    assert "-0.250 [-0.310, -0.190]" in page.text
    assert ".metrics td span { white-space: nowrap; }" in page.source
    assert not re.search(r"\.metrics (td|tbody th) {[^}]*white-space: (pre|nowrap);", page.source)
    boxes = re.findall(r'<div class="scroll"[^>]*>\s*<table class="metrics">', page.source)
    assert len(boxes) == page.source.count('<table class="metrics">')
    assert page.unmatched == []


def test_what_users_wrote_shows_as_text(page: Page) -> None:
    assert page.all("script") == []
    assert page.all("i") == []
    assert '<script>alert("caption")</script>' in page.text
    assert "</pre><script>alert('config')</script>" in page.text
    assert "<i>cut short</i>" in page.text
    assert "what <color> is it?" in page.text
    alts = [image["alt"] for image in page.all("img")]
    assert '<script>alert("caption")</script>' in alts


def test_requests_nothing_outside_the_page(page: Page) -> None:
    assert not re.search(r"https?://|url\((?!#)|@import|xlink", page.source)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "#").startswith("#")
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_pictures_have_words_and_sizes(page: Page) -> None:
    images = page.all("img")
    assert images
    assert all(image["alt"] and image["width"] == "320" for image in images)
    mentions(page.text, "image of a known format")
    mentions_missing(re.search(r"<span>gone\.jpg</span><span>([^<]+)</span>", page.source)[1])


def test_equal_runs_give_equal_bytes(run_dir: Path) -> None:
    first = write_report(run_dir).read_bytes()
    assert write_report(run_dir).read_bytes() == first


def test_ids_of_the_page_are_unique(page: Page) -> None:
    clips = [attributes["id"] for tag, attributes in page.tags if "id" in attributes and tag != "g"]
    plots = page.source.count("<svg")
    assert plots == 3  # two curves, and the calibration
    assert all(clips.count(name) <= plots for name in clips)
    assert not re.search(r'id="(figure|axes|patch|line2d)_', page.source)


@pytest.mark.parametrize(
    "missing",
    ["result.json", "metrics.csv", "predictions.jsonl", "config.yaml", "environment.json"],
)
def test_a_missing_file_leaves_out_its_part(run_dir: Path, missing: str) -> None:
    (run_dir / missing).unlink()
    page = Page(write_report(run_dir, gallery=1))
    assert page.unmatched == []
    assert ("Metrics" in page.headings) == (missing != "result.json")
    assert ("Curves" in page.headings) == (missing != "metrics.csv")
    assert ("Best" in page.headings) == (missing != "predictions.jsonl")
    assert ("Configuration" in page.text) == (missing != "config.yaml")
    assert ("Environment" in page.text) == (missing != "environment.json")


def test_an_empty_run_is_reported(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path))
    mentions(page.text, "no results")
    assert "Metrics" not in page.headings


def test_a_missing_run_is_a_user_error(tmp_path: Path) -> None:
    with raises(DataError, f"{tmp_path / 'nowhere'}: ", "run folder"):
        write_report(tmp_path / "nowhere")


def test_damaged_files_are_named_and_the_rest_is_shown(run_dir: Path) -> None:
    (run_dir / "result.json").write_text("{")
    with (run_dir / "predictions.jsonl").open("a") as file:
        file.write('[1]\n{"id": "cut\n')
    (run_dir / "environment.json").write_text("[]")
    page = Page(write_report(run_dir, gallery=1))
    for pattern in (
        r"result\.json .*?read",
        r"predictions\.jsonl:31: .*?JSON object \(2 .*?lines\)",
        r"environment\.json .*?: .*?JSON object",
    ):
        assert re.search(pattern, page.text, re.S), pattern
    assert "Best" in page.headings


def test_sections_follow_one_another_under_contents(run_dir: Path, tmp_path: Path) -> None:
    captioned = tmp_path / "captioned"
    captioned.mkdir()
    rows = [
        {"path": str(tmp_path / "img" / "3.jpg"), "caption": "a <green> wall", "score": -0.5},
        {"path": "clip.mp4", "error": "truncated"},
    ]
    (captioned / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sections = [("Eval & co", run_dir), ("Captions", captioned), ("Lost", tmp_path / "lost")]
    page = Page(write_report(tmp_path, title="Demo", gallery=2, sections=sections))
    links = [link["href"] for link in page.all("a")]
    assert links == ["#s1", "#s2", "#s3"]
    assert {part["id"] for part in page.all("section")} == {"s1", "s2", "s3"}
    assert page.headings[:3] == ["Demo", "Eval & co", "Metrics"]
    assert "a <green> wall" in page.text
    assert "score -0.500" in page.text
    assert "truncated" in page.text
    mentions(page.text, tmp_path / "lost")
    assert page.text.count("Environment") == 1
    assert page.unmatched == []


def test_leaves_no_half_page_behind(run_dir: Path) -> None:
    before = {path.name for path in run_dir.iterdir()}
    write_report(run_dir)
    assert {path.name for path in run_dir.iterdir()} == before | {"report.html"}


def test_imports_nothing_heavy_and_plots_only_on_demand(run_dir: Path) -> None:
    (run_dir / "metrics.csv").unlink()
    (run_dir / "predictions.jsonl").unlink()
    code = (
        "import sys; from pathlib import Path; from mmtx_cli.report.html import write_report;"
        "write_report(Path(sys.argv[1]));"
        "print({'torch', 'matplotlib', 'pytorch_lightning'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(run_dir)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_is_written_in_seconds(run_dir: Path) -> None:
    start = time.perf_counter()
    write_report(run_dir)
    assert time.perf_counter() - start < 10  # about 0.5 s; a busy machine takes longer


COUNT = """<script>
addEventListener("load", () => {
  const images = [...document.images];
  document.title = `loaded ${images.filter(i => i.naturalWidth > 0).length} of ${images.length}`;
});
</script></body>"""


def test_a_browser_shows_every_picture(run_dir: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on the PATH")
    source = write_report(run_dir).read_text(encoding="utf-8")
    # The page's own policy forbids the script that counts, and only that is lifted.
    probe = tmp_path / "probe.html"
    source = source.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
    probe.write_text(source.replace("</body>", COUNT), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    flags += " --disable-background-networking --disable-component-update --dump-dom"
    done = subprocess.run(
        [chromium, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", probe.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    images = len(Page(probe).all("img"))
    assert images > 20
    assert f"<title>loaded {images} of {images}</title>" in done.stdout, done.stderr[-2000:]
