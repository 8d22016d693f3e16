"""A captioner that gives every input the same caption is reported."""

import json
import re

import pytest

from mmtx_cli.io.quoting import quoted
from tests.command_line import mmtx, succeeded
from tests.messages import mentions

from .fixtures import AWKWARD_NAME

# a captioner of a few steps, decoded greedily, says the same of every picture
SHORT = ("generation.num_beams=1", "bootstrap=5")


def evaluated(place, captioner, name, *args):
    done = mmtx("eval", captioner, *SHORT, f"run_dir={name}", *args, cwd=place)
    run = succeeded(done)
    result = json.loads((run / "result.json").read_text())
    return done, result["diversity"]["captioning"], (run / "report.html").read_text()


def test_evaluation_warns_on_stderr_and_in_the_report(place, captioner):
    done, found, report = evaluated(place, captioner, "degenerate")
    assert (found["count"], found["references"]["count"]) == (6, 6)
    assert found["most_frequent_share"] > 0.5 >= found["references"]["most_frequent_share"]
    assert found["in_training_share"] == 0
    share = f"{100 * found['references']['most_frequent_share']:.0f} %"
    mentions(found["warning"], "of 6 samples", share, "input", "modality_importance=true")
    mentions(done.stderr.replace("\n", " "), f"warning: {found['warning']}")
    mentions(report, 'class="warning"', "of 6 samples", "modality_importance=true")
    for shown in (done.stdout, report):
        mentions(shown, "share of samples with the most frequent caption")


@pytest.mark.slow
def test_references_that_repeat_are_no_reason_to_warn(place, captioner):
    folder = place / AWKWARD_NAME / "scenes"
    rows = [json.loads(line) for line in (folder / "scenes.jsonl").read_text().splitlines()]
    for i, row in enumerate(rows):
        row["captions"] = ["One and  the same" if i % 2 else "one and the same", f"scene {i}"]
    same = folder / "same.jsonl"
    same.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = f"data.path={quoted(str(same))}"
    done, found, _ = evaluated(place, captioner, "same", data)
    assert found["references"]["most_frequent_share"] == 1
    assert found["most_frequent_share"] > 0.5
    assert "warning:" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("count", "warned"), [(7, False), (8, True)])
def test_captioning_warns_for_eight_inputs(place, captioner, count, warned):
    pictures = sorted((place / AWKWARD_NAME / "scenes" / "images").iterdir())[:count]
    inputs = f"inputs=[{','.join(quoted(str(path)) for path in pictures)}]"
    done = mmtx("caption", captioner, *SHORT[:1], inputs, f"run_dir=captioned{count}", cwd=place)
    found = json.loads((succeeded(done) / "result.json").read_text())["diversity"]["captions"]
    assert found["count"] == count
    assert re.search(rf"\d+ of {count} captions .*distinct", done.stderr)
    assert ("warning: " in done.stderr) == warned == ("warning" in found)
    assert "warning" not in done.stdout
