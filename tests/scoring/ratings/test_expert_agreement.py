"""Agreement of METEOR with the experts of Flickr8k (Hodosh et al. 2013)."""

import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmtx_cli.metric.agreement.correlations import correlations
from mmtx_cli.scoring.families import measure
from mmtx_cli.scoring.ratings.read import read_rated
from tests.metric.meteor.java import pycocoevalcap_folder, small_folder
from tests.scoring.neural.models import settings

stats = pytest.importorskip("scipy.stats")

DATA = Path(os.environ.get("MMTX_TEST_DATA", Path(__file__).parents[3] / "../shared/data"))
NAME = "ExpertAnnotations.txt"


def agreement(ratings, tokens, folder):
    """METEOR of each judged caption, the judgements, and Kendall's tau-c."""
    chosen = replace(
        settings(), ratings=ratings, references=(tokens,), language="en", meteor_data=folder
    )
    rated = read_rated(chosen)
    (captions,) = rated.systems.values()
    values = measure("meteor", captions, chosen).scores.per_sample["meteor"]
    found = correlations(values, rated.judgements, 2, 1)
    return values, rated.judgements, found["kendall_c"].value


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.slow
def test_of_the_published_judgements():
    """Published with METEOR of Java: 41.8 (Hessel et al. 2021, table 1)."""
    places = (place for depth in ("", "*/", "*/*/") for place in DATA.glob(depth + NAME))
    found = [path for path in places if (path.parent / "Flickr8k.token.txt").exists()]
    if not found:
        pytest.skip(f"no {NAME} beside Flickr8k.token.txt: set MMTX_TEST_DATA to their folder")
    tokens = found[0].parent / "Flickr8k.token.txt"
    _, judgements, tau = agreement(found[0], tokens, pycocoevalcap_folder())
    assert len(judgements.rating) == 3 * (5822 - 158)
    assert 100 * tau >= 41


def test_of_generated_judgements(tmp_path):
    """Captions of the same things are rated higher, by experts who sometimes err."""
    draw = random.Random(1)
    things = ["dog", "cat", "boy", "girl", "horse", "bird"]
    places = ["on grass", "in water", "near a house", "on a road"]
    scenes = [(thing, place) for thing in things for place in places]
    tokens = {
        f"{at}.jpg#{k}": f"{a} {thing} {does} {place} ."
        for at, (thing, place) in enumerate(scenes)
        for k, (a, does) in enumerate((("A", "runs"), ("The", "is running"), ("One", "stands")))
    }
    rows = []
    for at, (thing, place) in enumerate(scenes):
        for other in draw.sample(range(len(scenes)), 6):
            if other != at:
                same = (scenes[other][0] == thing) + (scenes[other][1] == place)
                own = [min(4, max(1, 1 + same + draw.choice((0, 0, 1)))) for _ in range(3)]
                rows.append((f"{at}.jpg", f"{other}.jpg#{draw.randrange(3)}", *own))
    (tmp_path / "Flickr8k.token.txt").write_text("".join(f"{k}\t{v}\n" for k, v in tokens.items()))
    (tmp_path / NAME).write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    (tmp_path / "meteor").mkdir()
    folder = small_folder(tmp_path / "meteor")
    values, judgements, tau = agreement(tmp_path / NAME, tmp_path / "Flickr8k.token.txt", folder)
    assert len(values) == len(rows)
    assert judgements.rating.tolist() == [value for row in rows for value in row[2:]]
    expected = stats.kendalltau(np.repeat(values, 3), judgements.rating, variant="c").statistic
    assert tau == pytest.approx(expected)
    assert tau > 0.3
