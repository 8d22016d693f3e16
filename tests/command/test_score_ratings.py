"""Agreement with people: ``mmtx score ratings=FILE``."""

import json
from pathlib import Path

import pytest

from mmtx_cli.command.score import run
from mmtx_cli.errors import ConfigError, DataError
from tests.messages import faults_mention, raises
from tests.metric.corpora import flickr_file

from .test_score import CAPTIONS, METRICS, PREDICTIONS, config, lines, reference_lines

stats = pytest.importorskip("scipy.stats")
OTHER = {"1": "a dog is running in grass", "2": "a cat", "3": "a girl holds a red balloon"}


@pytest.fixture
def rate(tmp_path, monkeypatch, capsys):
    """Write ratings, references and predictions, run the command, and give result and rows."""
    monkeypatch.chdir(tmp_path)
    Path("refs.json").write_text(reference_lines())
    for name, own in (("predictions.json", PREDICTIONS), ("other.json", OTHER)):
        Path(name).write_text(lines({"id": i, "caption": c} for i, c in own.items()))

    def rated(ratings, name="ratings.jsonl", **settings):
        Path(name).write_text(ratings)
        run(config(ratings=name, **settings))
        out = capsys.readouterr().out
        run_dir = Path(out.splitlines()[-1])
        rows = [json.loads(line) for line in (run_dir / "scores.jsonl").read_text().splitlines()]
        return json.loads((run_dir / "result.json").read_text()), rows, out

    return rated


OWN = {"references": None, "predictions": None}


def test_ratings_of_predictions(rate):
    ratings = {"1": [4, 3], "2": [1, 1], "3": [2, 3]}
    result, rows, out = rate(lines({"id": i, "rating": own} for i, own in ratings.items()))
    found = result["ratings"]
    assert (found["captions"], found["judgements"]) == (3, 6)
    assert list(found["correlations"]) == [f"caption/{name}" for name in METRICS]
    assert [row["rating"] for row in rows] == [3.5, 1, 2.5]
    x = [row["rouge_l"] for row in rows for _ in range(2)]
    y = [value for own in ratings.values() for value in own]
    own = found["correlations"]["caption/rouge_l"]
    assert own["kendall_b"]["value"] == pytest.approx(stats.kendalltau(x, y).statistic)
    assert own["kendall_c"]["value"] == pytest.approx(stats.kendalltau(x, y, variant="c").statistic)
    assert own["spearman"]["value"] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert own["spearman"]["interval"][0] <= own["spearman"]["value"]
    assert "Kendall τ-c" in out


def test_captions_without_rating_are_said(rate):
    result, rows, out = rate(lines([{"id": "1", "rating": 4}, {"id": "3", "rating": 2}]))
    assert [row["rating"] for row in rows] == [4, None, 2]
    assert "1 of 3" in result["notes"][0]
    assert f"note: {result['notes'][0]}" in out


def test_ratings_of_several_systems(rate):
    rows = [
        {"id": i, "system": system, "rating": value}
        for system, values in (("predictions", (3, 2, 2)), ("other", (4, 1, 3)))
        for i, value in zip(CAPTIONS, values, strict=True)
    ]
    files = {"predictions": ["predictions.json", "other.json"]}
    result, found, _ = rate(lines(rows), **files)
    assert result["ratings"]["captions"] == 6
    x, y = ([row[key] for row in found] for key in ("rouge_l", "rating"))
    own = result["ratings"]["correlations"]["caption/rouge_l"]
    assert own["kendall_b"]["value"] == pytest.approx(stats.kendalltau(x, y).statistic)
    with raises(DataError, "column system", "predictions, other"):
        rate(lines({"id": i, "rating": i} for i in CAPTIONS), run_dir="x", **files)
    with raises(DataError, "ratings.jsonl:1", "1 of 2", "'first'"):
        rate(lines([rows[0] | {"system": "first"}, rows[1]]), run_dir="x", **files)


def test_ratings_of_a_system_without_predictions_are_not_those_of_another(rate):
    rows = [
        {"id": i, "system": system, "rating": value}
        for system, values in (("predictions", (3, 2, 2)), ("other", (4, 1, 3)))
        for i, value in zip(CAPTIONS, values, strict=True)
    ]
    with raises(DataError, "ratings.jsonl:4", "3 of 6", "'other'", "predictions"):
        rate(lines(rows))
    result, _, _ = rate(lines(row | {"system": "named otherwise"} for row in rows[:3]))
    assert result["ratings"]["judgements"] == 3


def test_a_table_that_has_everything(rate):
    rows = [
        {"caption": PREDICTIONS[i], "references": own, "rating": value}
        for (i, own), value in zip(CAPTIONS.items(), (4, 1, 2), strict=True)
    ]
    result, found, _ = rate(lines([*rows, rows[0] | {"rating": 3}]), **OWN)
    expected, predictions, _ = rate(
        lines([{"id": i, "rating": v} for i, v in zip("1123", (4, 3, 1, 2), strict=True)]),
        run_dir="runs/by_id",
    )
    assert result["ratings"] == expected["ratings"]
    assert [row["id"] for row in found] == ["1", "2", "3"], "lines of the table"
    assert [row["cider"] for row in found] == [row["cider"] for row in predictions]
    with raises(ConfigError, "predictions: ", "remove"):
        rate(lines(rows), run_dir="x")


def test_captions_of_a_table_with_references_by_id(rate):
    rows = [
        {"id": i, "caption": texts[i], "rating": value}
        for texts, values in ((PREDICTIONS, (3, 2, 2)), (OTHER, (4, 1, 3)))
        for i, value in zip(CAPTIONS, values, strict=True)
    ]
    result, found, _ = rate(lines(rows), predictions=None)
    assert [row["id"] for row in found] == ["1 #1", "2 #1", "3 #1", "1 #2", "2 #2", "3 #2"]
    assert result["count"] == 6
    with raises(DataError, "ratings.jsonl:1", "id 7"):
        rate(lines([rows[0] | {"id": 7}]), run_dir="x", predictions=None)


def test_experts_on_real_captions(rate):
    """Each of twelve images with a caption of every image: its own is no candidate."""
    tokens = [line.split("\t") for line in flickr_file().read_text("utf-8").splitlines()[:60]]
    Path("own.txt").write_text("".join(f"{name}\t{text}\n" for name, text in tokens))
    images = [name.split("#")[0] for name, _ in tokens[::5]]
    pairs = [(image, name) for image in images for name, _ in tokens[2::5]]
    rated = {pair: (1 + at % 3, 1 + at % 2, 2) for at, pair in enumerate(pairs)}
    text = "".join("\t".join(map(str, (*pair, *own))) + "\n" for pair, own in rated.items())
    files = {"references": "own.txt", "predictions": None}
    result, rows, _ = rate(text, "ExpertAnnotations.txt", bootstrap=5, **files)
    assert len(pairs) == 12 * 12
    assert result["count"] == len(rows) == 12 * 11
    assert result["ratings"]["judgements"] == 3 * 12 * 11
    assert "12 of 144" in result["notes"][0]
    x = [row["cider"] for row in rows for _ in range(3)]
    y = [value for row in rows for value in rated[tuple(row["id"].split(" "))]]
    own = result["ratings"]["correlations"]["caption/cider"]
    assert own["kendall_c"]["value"] == pytest.approx(stats.kendalltau(x, y, variant="c").statistic)
    with raises(ConfigError, "predictions: ", "Flickr8k", "remove"):
        rate(text, "e.txt", references="own.txt", run_dir="x")
    with raises(ConfigError, "references: ", "Flickr8k", "references=FILE"):
        rate(text, "e.txt", run_dir="x", **OWN)


@pytest.mark.parametrize(
    ("ratings", "parts"),
    [
        ([{"id": "1", "rating": 3}, {"id": "2", "rating": 3}], ("all 2 ratings are 3",)),
        ([{"id": "1", "rating": [1, 2]}], ("fewer than two captions",)),
        ([{"id": "1", "rating": 1}, {"id": "9", "rating": 2}], ("ratings.jsonl:2", "1 of 2", "9")),
        ([{"id": "1", "rating": 1}, {"id": "2", "rating": None}], ("ratings.jsonl:2", "no rating")),
    ],
)
def test_ratings_that_say_nothing(rate, ratings, parts):
    with raises(DataError, *parts):
        rate(lines(ratings))
    assert not Path("runs").exists()


def test_keys_that_are_missing(rate):
    with pytest.raises(ConfigError) as caught:
        rate(lines([{"id": "1", "rating": 1}]), **OWN)
    faults_mention(
        caught.value.faults, ("references: ", "references=FILE"), ("predictions: ", "=FILE")
    )
    with raises(DataError, "none.csv", "not found"):
        run(config(ratings="none.csv"))


def test_rated_captions_in_several_languages(rate):
    rows = [("一只狗", "狗在跑", 1), ("一个男人", "两个人", 2), ("men", "two men", 3)]
    table = lines({"caption": own, "references": [text], "rating": r} for own, text, r in rows)
    with raises(DataError, "several scripts", "language="):
        rate(table, references=None, predictions=None)


def test_ids_that_are_numbers_of_a_column_with_gaps(rate):
    ratings = {1.0: 2, 2.0: 3, 3.0: 1}
    rated = rate(lines({"id": i, "rating": r} for i, r in ratings.items()), metrics=["overlap"])
    assert rated[0]["ratings"]["captions"] == 3


def test_judgements_of_flickr8k_need_one_file_of_captions(rate):
    with raises(ConfigError, "references", "Flickr8k.token.txt"):
        rate(
            "a.jpg\tb.jpg#0\t1\t2\t3\n",
            "ratings.txt",
            references=["refs.json", "other.json"],
            predictions=None,
        )
