"""The tables of docs/scale.md are those that its script computes."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("plan", ROOT / "tests/benchmark/scale_plan.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_tables_of_the_script(script):
    text = (ROOT / "docs/scale.md").read_text()
    for name, rows in script.SECTIONS.items():
        table = "".join(f"| {what} | {value} | {how} |\n" for what, value, how in rows())
        assert f"| --- | --- | --- |\n{table}\n" in text, name


def test_figures_by_hand(script):
    found = {what: value for rows in script.SECTIONS.values() for what, value, _ in rows()}
    assert found["pairs per GPU"] == "64"
    # 419 / 54 / 16 = 0.485; 24 h / 0.485 = 49.5 h; sqrt(2 x 10.13 s x 49.5 h) = 31.7 min
    assert found["failures per day"] == "0.485"
    assert found["time between failures"] == "49.5 h"
    assert found["best interval, one process"] == "31.7 min"
    # 12 B x 427.6 M; 2 x 4 B x 427.6 M at 50 GB/s
    assert found["checkpoint"] == "5.13 GB"
    assert found["of that, time on the network, DDP"] == "68.4 ms"
