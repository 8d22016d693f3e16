import hashlib
import os
from collections import Counter
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError
from mmtx_cli.media.image import decode_image
from mmtx_cli.synthetic.scenes import grammar, make, make_scenes, render, scene
from tests.messages import mentions, raises


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return read_manifest(make_scenes(tmp_path_factory.mktemp("scenes") / "set", num=400, size=48))


def fingerprint(folder):
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def scenes(num=300):
    return [scene.sample_scene(Random(f"{i}"), scene.PAIRS) for i in range(num)]


def pairs_in(text):
    words = text.replace("?", "").split()
    return {pair for pair in pairwise(words) if pair in scene.PAIRS}


def test_rows(made):
    assert [len(made.split(s)) for s in ("train", "val", "test")] == [320, 40, 40]
    for sample in made.samples:
        assert len(set(sample.captions)) == 5
        assert sample.text.endswith("?")
        assert list(sample.answers.values()) == [10.0]
        assert sample.label in made.label_names
        assert sample.label in sample.captions[0].split()[3]
    assert decode_image(made.samples[0].image[0]).shape == (48, 48, 3)


def test_the_card_describes_the_data_set(made):
    card = made.card
    assert card.license == "CC0-1.0"
    assert card.counts == {"train": 320, "val": 40, "test": 40}
    mentions(card.description, "shape", "largest")
    assert card.other["unseen_pairs"] == [" ".join(pair) for pair in make.unseen_pairs(0)]


def test_the_scene_of_a_row_is_known(made):
    for index in (0, 7, 365, 399):
        own = make.scene_of(index, 400)
        row = made.samples[index]
        assert row.id == f"scene{index:05d}"
        assert row.captions[0] == grammar.captions(own, Random(0))[0]
        for thing in own.things:
            pixels = np.asarray(render.cut_out([thing], 48))
            picture = decode_image(str(row.image[0]), None)
            there = pixels[..., 3] == 255
            difference = picture[there].astype(int) - pixels[there][:, :3]
            assert abs(difference).mean() < 12


def test_the_compositional_split_is_disjoint(made):
    unseen = set(make.unseen_pairs(0))
    assert len(unseen) == 5
    assert len({color for color, _ in unseen}) == len({shape for _, shape in unseen}) == 5
    for sample in made.split("train") + made.split("val"):
        assert sample.group == "seen"
        assert not unseen & set().union(*map(pairs_in, [*sample.captions, sample.text]))
    groups = Counter(sample.group for sample in made.split("test"))
    assert groups == {"seen": 20, "unseen": 20}
    for sample in made.split("test"):
        assert bool(unseen & pairs_in(sample.captions[0])) == (sample.group == "unseen")


def test_every_color_and_shape_is_learnt_in_training(made):
    words = Counter(" ".join(c for s in made.split("train") for c in s.captions).split())
    assert all(words[word] > 20 for word in (*scene.COLORS, *scene.SHAPES))
    assert words["an"] == words["orange"] or words["an"] > 0


def test_answers_are_few_and_each_occurs_in_training(made):
    answers = {
        split: {a for s in made.split(split) for a in s.answers} for split in ("train", "test")
    }
    assert answers["test"] <= answers["train"]
    assert len(answers["train"]) == len(scene.COLORS) + len(scene.SHAPES) + 4


def test_the_canonical_caption_can_score_well(made):
    cider = pytest.importorskip("pycocoevalcap.cider.cider")
    test = made.split("test")
    references = {sample.id: list(sample.captions) for sample in test}
    right = {sample.id: [sample.captions[0]] for sample in test}
    wrong = {a.id: [b.captions[0]] for a, b in zip(test, test[1:] + test[:1], strict=True)}
    assert cider.Cider().compute_score(references, right)[0] > 5
    assert cider.Cider().compute_score(references, wrong)[0] < 1.5


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, workers in [("a", 1), ("b", 3)]:
        make_scenes(tmp_path / name, num=20, size=32, seed=7, workers=workers)
    make_scenes(tmp_path / "c", num=20, size=32, seed=8)
    a, b, c = (fingerprint(tmp_path / name) for name in "abc")
    assert a == b != c


def test_numbers_are_pinned():
    # a change here changes every user's data: count up _VERSION in make.py with it
    manifest = [
        grammar.captions(one, Random("1"))[0] + " " + " ".join(grammar.question(one, Random("2")))
        for one in scenes(50)
    ]
    digest = hashlib.sha256("\n".join(manifest).encode()).hexdigest()[:16]
    assert (make._VERSION, digest) == (2, "69e70d6d8df6852e")


def test_a_complete_set_is_used_again_and_another_replaced(tmp_path):
    folder = tmp_path / "set"
    path = make_scenes(folder, num=12, size=32)
    before = os.stat(path)
    assert make_scenes(folder, num=12, size=32) == path
    assert os.stat(path).st_mtime_ns == before.st_mtime_ns
    os.remove(folder / "images" / "00003.jpg")
    make_scenes(folder, num=12, size=32)
    assert len(os.listdir(folder / "images")) == 12
    make_scenes(folder, num=20, size=32)
    assert len(read_manifest(path).samples) == 20
    assert sorted(os.listdir(tmp_path)) == ["set"]


def test_other_peoples_files_are_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with raises(ConfigError, f"out={tmp_path}: ", "thesis.tex"):
        make_scenes(tmp_path, num=12)
    (tmp_path / "images").mkdir()
    os.remove(tmp_path / "thesis.tex")
    with raises(ConfigError, f"out={tmp_path}: ", "(images)"):
        make_scenes(tmp_path, num=12)
    with pytest.raises(ConfigError, match="num=3"):
        make_scenes(tmp_path / "x", num=3)


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(make, "draw", fail)
    with pytest.raises(OSError, match="disk full"):
        make_scenes(tmp_path / "set", num=12)
    assert os.listdir(tmp_path) == []


def test_relations_are_beyond_doubt():
    for one in scenes():
        for thing in one.things:
            reach = 1.15 * thing.radius  # of the star's points
            assert reach < min(thing.x, thing.y) <= max(thing.x, thing.y) < 1 - reach
        if one.relation is None:
            continue
        large, small = one.things
        assert (large.size, small.size) == ("large", "small")
        assert large.color != small.color
        assert large.shape != small.shape
        dx, dy = large.x - small.x, large.y - small.y
        along = {"left of": -dx, "right of": dx, "above": -dy, "below": dy}[one.relation]
        across = dy if one.relation in ("left of", "right of") else dx
        assert along > 3 * abs(across)
        assert along > 1.15 * (large.radius + small.radius)


@pytest.mark.parametrize("color", scene.COLORS)
def test_colors_are_drawn_as_they_are_called(color):
    names = {name: np.array(rgb) for name, rgb in render._RGB.items()}
    for seed, shape in enumerate(scene.SHAPES):
        thing = scene.Thing(color, shape, "large", 0.5, 0.5, 0.2, 0.05)
        pixels = np.asarray(render.draw(scene.Scene((thing,), None, "middle"), 64, seed)).astype(
            float
        )
        x = 32 + round(0.82 * 0.2 * 64) if shape == "ring" else 32
        seen = pixels[31:34, x - 1 : x + 2].mean((0, 1))
        assert min(names, key=lambda name: np.abs(names[name] - seen).sum()) == color
        ground = pixels[:6].mean((0, 1))
        assert np.abs(ground - seen).max() > 50


def test_answers_are_true():
    for one in scenes():
        large, small = (*one.things, one.things[0])[:2]
        for seed in range(6):
            asked, answer = grammar.question(one, Random(str(seed)))
            if asked.startswith("how many"):
                assert answer == {1: "one", 2: "two"}[len(one.things)]
            elif asked.startswith("is there"):
                here = {thing.pair for thing in one.things}
                assert (answer == "yes") == bool(pairs_in(asked) & here)
            elif not pairs_in(asked):
                thing = next(t for t in one.things if {t.color, t.shape} & set(asked[:-1].split()))
                assert answer == (thing.color if "color" in asked else thing.shape)
            else:
                (known,) = pairs_in(asked)
                other = small if known == large.pair else large
                assert answer == (other.color if "color" in asked else other.shape)
                relation = one.relation if other is large else scene.INVERSE[one.relation]
                assert f" {relation} the " in asked


def test_captions_are_varied():
    forms = Counter(len(set(map(len, grammar.captions(one, Random("1"))))) for one in scenes(100))
    assert min(forms) >= 3
