"""What evaluation asks of a trained model beyond its own heads, as a user does it."""

import json

import pytest

from tests.command_line import TINY, TINY_IMAGE, mmtx, refused, succeeded
from tests.messages import mentions

pytestmark = pytest.mark.xdist_group("asked")  # so that the model is trained once

CHOSEN = ["circle", "square", "star"]
TEMPLATES = "head.zero_shot.templates=['a {}, seen from afar','one {}']"


def read(run):
    """The result, and the predictions by id."""
    lines = (run / "predictions.jsonl").read_text().splitlines()
    return json.loads((run / "result.json").read_text()), {
        row["id"]: row for row in map(json.loads, lines)
    }


@pytest.fixture(scope="module")
def labeled(place, scenes):
    """Pictures with a label, all of them for testing: no row to learn labels from."""
    found = next(place.glob("*/scenes/scenes.jsonl"))
    rows = [json.loads(line) for line in found.read_text().splitlines()]
    kept = [
        {"id": row["id"], "split": "test", "image": row["image"], "label": row["label"]}
        for row in rows
        if row["label"] in CHOSEN
    ]
    path = place / "labeled.jsonl"
    path.write_text("\n".join(map(json.dumps, kept)))
    path.with_suffix(".yaml").write_text(json.dumps({"root": str(found.parent)}))
    return f"data.path={path.name}", {row["id"]: row["label"] for row in kept}


def test_classes_are_predicted_from_their_names(place, contrastive, labeled):
    data, labels = labeled
    args = [contrastive, "head=zero_shot", data, TEMPLATES, "bootstrap=20"]
    result, rows = read(succeeded(mmtx("eval", *args, "run_dir=shot", cwd=place)))
    assert set(result["metrics"]) == set(result["intervals"])
    assert set(result["metrics"]) == {f"zero_shot/{k}" for k in ("accuracy", "f1_macro", "ece")}
    assert result["count"] == len(labels) == len(rows)
    right = [row["zero_shot"]["prediction"] == labels[i] for i, row in rows.items()]
    assert result["metrics"]["zero_shot/accuracy"] == pytest.approx(sum(right) / len(right))
    assert "zero_shot" in (place / "shot" / "report.html").read_text()

    # the names are all that tells the classes apart: with two of them exchanged, so are these
    swap = "head.zero_shot.names={circle: star, star: circle}"
    _, swapped = read(succeeded(mmtx("eval", *args, swap, "run_dir=swapped", cwd=place)))
    other = {"circle": "star", "square": "square", "star": "circle"}
    shares = []
    for i, row in rows.items():
        before, after = (dict(x["zero_shot"]["top"]) for x in (row, swapped[i]))
        assert sorted(before) == CHOSEN
        for name, share in before.items():
            assert after[other[name]] == pytest.approx(share, abs=1e-5)
        shares.append(before["circle"] - before["star"])
    assert max(map(abs, shares)) > 1e-4


@pytest.mark.slow
def test_probes_are_fitted_on_the_training_rows(place, contrastive):
    args = [contrastive, "split=val", "head=probe", "head.probe.k=3", "bootstrap=5"]
    result, rows = read(succeeded(mmtx("eval", *args, "run_dir=probed", cwd=place)))
    assert {name.rpartition("/")[0] for name in result["metrics"]} == {
        f"probe/{stream}/{kind}" for stream in ("image", "text") for kind in ("linear", "knn")
    }
    for name in ("image/knn", "text/linear"):
        predicted = [
            row["probe"]["predictions"][name] == row["probe"]["label"] for row in rows.values()
        ]
        figure = result["metrics"][f"probe/{name}/accuracy"]
        assert figure == pytest.approx(sum(predicted) / 6)
    # what is scored has been learned from: the nearest neighbor of a sample is itself
    probe = ["head=probe", "head.probe.k=1", "head.probe.streams=[image]"]
    args = [contrastive, "split=train", *probe]
    run = succeeded(mmtx("eval", *args, "bootstrap=5", "run_dir=itself", cwd=place))
    assert read(run)[0]["metrics"]["probe/image/knn/accuracy"] == 1.0


@pytest.mark.slow
def test_retrieval_is_that_of_the_contrastive_head(place, contrastive):
    args = [contrastive, "split=train", "bootstrap=20"]
    first = read(succeeded(mmtx("eval", *args, "run_dir=own", cwd=place)))[0]
    own, chance = first, first["baselines"]["chance"]["metrics"]
    # 48 pictures, of which few share a caption: more than 1 in 48 texts are right for a picture
    assert 1 / 48 <= chance["contrastive/text_to_image_r1"] < 2 / 48
    assert 0 < chance["contrastive/image_to_text_r1"] < 3 / 48
    asked = [*args, "head=[retrieval,probe]", "head.retrieval.k=[1,10]", "head.probe.kind=knn"]
    result, rows = read(succeeded(mmtx("eval", *asked, "run_dir=found", cwd=place)))
    found = {k: v for k, v in result["metrics"].items() if k.startswith("retrieval/")}
    ways = ("image_to_text", "text_to_image")
    same = [f"{way}_{figure}" for way in ways for figure in ("r1", "r10", "median_rank")]
    assert set(found) == {f"retrieval/{name}" for name in (*same, "mean_recall")}
    for way in ways:
        there, same_there = f"retrieval/{way}_r10", f"contrastive/{way}_r10"
        assert result["baselines"]["chance"]["metrics"][there] == chance[same_there]
    for name in same:
        for part in ("metrics", "intervals"):
            assert result[part][f"retrieval/{name}"] == own[part][f"contrastive/{name}"]
    assert set(next(iter(rows.values()))) >= {"retrieval", "probe"}


def test_invalid_evaluation_only_heads(place, scenes, captioner, contrastive, labeled):
    for args, parts in [
        (
            ["eval", captioner, "head=zero_shot"],
            ["head.zero_shot: ", "contrastive head", " captioning;", "head=contrastive"],
        ),
        (
            ["eval", contrastive, "head=captioning"],
            ["head=captioning: ", "ckpt=", "probe, retrieval, zero_shot"],
        ),
        (
            ["eval", contrastive, "head=zeroshot"],
            ["head=zeroshot: ", "'zero_shot'", " probe, retrieval"],
        ),
        (
            ["eval", contrastive, "head=zero_shot", "head.zero_shot.templates=[a photo]"],
            ["head.zero_shot: templates: ", "'a photo'", " {} "],
        ),
        (["eval", contrastive, "head=probe", labeled[0]], ["split=train", "label"]),
        (
            ["pretrain", *TINY_IMAGE, *TINY, scenes, "head=probe"],
            ["head.probe: ", "mmtx eval ckpt=RUN head=probe"],
        ),
    ]:
        mentions(refused(*args, "run_dir=refused", cwd=place), *parts)
        assert not (place / "refused").exists()
