import shutil

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.synthetic.events import make_events
from tests.predicting import model_folder

from .running import running

LIMITS = (
    "max_upload_mb=1",
    "upload_timeout=6",
    "max_seconds=4",
    "max_requests=12",
    "data.max_image_pixels=1000000",
)


@pytest.fixture(scope="package")
def media(tmp_path_factory):
    """Pictures, and a film with sound."""
    place = tmp_path_factory.mktemp("media")
    random = np.random.default_rng(0)
    for i in range(6):
        pixels = random.integers(0, 255, (70 + i, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{i}.png")
    Image.open(place / "5.png").save(place / "5.jpg")
    events = make_events(place / "events", num=10, size=32, seed=0, workers=1)
    shutil.copy(next(events.parent.glob("videos/*.mp4")), place / "film.mp4")
    return place


@pytest.fixture(scope="package")
def served_model(tmp_path_factory):
    modalities = ["image", "video", "audio"]
    return model_folder(tmp_path_factory.mktemp("served") / "m", ["captioning"], modalities)


@pytest.fixture(scope="package")
def server(served_model, tmp_path_factory):
    with running(served_model, tmp_path_factory.mktemp("server"), *LIMITS) as found:
        yield found
