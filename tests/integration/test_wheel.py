import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = [
    "num=120",
    "num_videos=12",
    "overrides.pretrain=['trainer.max_steps=3','trainer.val_every=3','dim=32','encoder.image.width=32']",
    "overrides.finetune=['trainer.max_steps=2','trainer.val_every=2','dim=32','encoder.image.width=32']",
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), "."]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_configs_and_templates(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "mmtx_cli/conf/pretrain.yaml",
        "mmtx_cli/conf/fusion/concat.yaml",
        "mmtx_cli/report/templates/report.html.j2",
        "mmtx_cli/data_manifests/flickr8k.yaml",
        "mmtx_cli/runs/run_dir.py",  # runs/ is in .gitignore, which hatch obeys
    ):
        assert name in names
    assert not [name for name in names if name.startswith("tests/")]


@pytest.mark.slow
def test_the_installed_wheel_runs_the_demo_far_from_the_source(wheel, tmp_path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-P", "-m", "mmtx_cli", "demo", *SMALL],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    folder = Path(run.stdout.splitlines()[-1])
    assert folder.is_relative_to(elsewhere / "runs")
    report = (folder / "report.html").read_text()
    assert "<html" in report
    columns = json.loads((folder / "attributes.json").read_text())
    assert list(columns) == ["all modalities", "without the still"]
    assert re.search(r"<h\d>[^<]*attributes", report)
    where = [
        sys.executable,
        "-P",
        "-c",
        "import mmtx_cli.config.conf_tree as o; print(o.conf_dir())",
    ]
    found = subprocess.check_output(where, cwd=elsewhere, env=environment, text=True).strip()
    assert found == str(site / "mmtx_cli" / "conf")
