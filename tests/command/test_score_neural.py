import json
from pathlib import Path

import pytest

from mmtx_cli.command.score import run
from mmtx_cli.errors import ConfigError
from tests.command.test_score import config, prediction_lines, reference_lines
from tests.command_line import mmtx
from tests.messages import faults_mention, mentions
from tests.scoring.neural.models import roberta

NEURAL = {
    "device": "cpu",
    "batch_size": 2,
    "similarity": {"weights": None},
    "bertscore": {"weights": None, "layer": None, "idf": False, "baseline": None},
    "clipscore": {
        "ckpt": None,
        "weights": None,
        "modality": None,
        "prefix": None,
        "weight": 2.5,
        "long_captions": "split",
        "num_frames": None,
    },
}


def with_models(metrics, **sections):
    own = {name: {**NEURAL[name], **keys} for name, keys in sections.items()}
    return config(metrics=metrics, **{**NEURAL, **own})


def test_writes_the_metrics_of_several_families_with_their_parameters(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    weights = roberta(tmp_path / "model")
    Path("refs.json").write_text(reference_lines())
    Path("predictions.json").write_text(prediction_lines())
    families = ["overlap", "similarity", "bertscore"]
    keys = {"similarity": {"weights": weights}, "bertscore": {"weights": weights, "layer": 2}}
    run(with_models(families, **keys))
    run_dir = Path(capsys.readouterr().out.splitlines()[-1])
    result = json.loads((run_dir / "result.json").read_text())
    for name in ("similarity", "similarity_mean", "bertscore_f1", "bertscore_recall", "cider"):
        low, high = result["intervals"][f"caption/{name}"]
        assert low <= result["metrics"][f"caption/{name}"] <= high
    assert result["parameters"]["bertscore"]["layer"] == 2
    assert result["parameters"]["similarity"]["pooling"] == ["mean"]
    rows = [json.loads(line) for line in (run_dir / "scores.jsonl").read_text().splitlines()]
    assert all(0 < row["bertscore_f1"] <= 1 for row in rows)


def test_all_faults_of_the_keys_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        run(
            with_models(
                ["similarity", "bertscore", "clipscore"],
                bertscore={"layer": 0},
                clipscore={
                    "modality": "smell",
                    "weight": 0,
                    "long_captions": "fold",
                    "num_frames": 0,
                },
            )
        )
    faults_mention(
        caught.value.faults,
        ("similarity.weights: required", "all-MiniLM-L6-v2"),
        ("bertscore.weights: required", "roberta-large"),
        ("bertscore.layer=0: ", "at least 1"),
        ("clipscore.ckpt, clipscore.weights: ", "one of them"),
        ("clipscore.modality=smell: ", "image, video, audio"),
        ("clipscore.weight=0: ", "above 0"),
        ("clipscore.long_captions=fold: ", "split, cut, error"),
        ("clipscore.num_frames=0: ", "at least 1"),
    )


def test_keys_of_the_wrong_type_are_named():
    with pytest.raises(ConfigError) as caught:
        run(with_models(["overlap"], bertscore={"idf": "maybe"}, similarity={"model": "x"}))
    faults_mention(
        caught.value.faults,
        ("similarity.model: unknown key",),
        ("bertscore.idf: ", "maybe", "bool"),
    )


def test_a_misspelled_key_of_a_section_is_named_with_the_nearest(tmp_path):
    done = mmtx("score", "similarity.weigths=x", cwd=tmp_path)
    assert done.returncode == 2
    mentions(done.stderr, "similarity.weigths: ", "'similarity.weights'")
