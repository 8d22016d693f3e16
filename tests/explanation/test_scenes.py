"""Heat maps of a captioner that was trained on the built-in scenes."""

import importlib.util
from pathlib import Path

import pytest

from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import mmtx, succeeded

SCRIPT = Path(__file__).parents[1] / "benchmark" / "explanations.py"


@pytest.mark.slow
def test_words_for_colors_and_shapes_are_seen_on_the_shapes(tmp_path):
    """In four of five scenes for all such words; by rollout clearly more often than by chance."""
    spec = importlib.util.spec_from_file_location("explanations_script", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    manifest = make_scenes(tmp_path / "scenes", num=4000, seed=1)
    args = ["experiment=scenes_caption", f"data.path={manifest}", "seed=1"]
    run = succeeded(mmtx("finetune", *args, f"run_dir={tmp_path / 'run'}"))
    found = script.measured(str(run), manifest, "test", "gradient", 400)
    assert found["words"] >= 0.9
    assert found["scenes"] >= 0.8
    assert found["other"] <= 0.1
    assert found["chance"] <= 0.1
    coarse = script.measured(str(run), manifest, "test", "rollout", 100)
    assert 2 * coarse["chance"] < coarse["words"] < found["words"]
