"""The data of the runs that are ended and resumed."""

from pathlib import Path

import pytest

from mmtx_cli.synthetic.scenes.make import make_scenes


@pytest.fixture(scope="session")
def survival_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of 60 scenes."""
    folder = tmp_path_factory.mktemp("survival")
    return make_scenes(folder / "scenes", num=60, size=32, seed=0, workers=1)
