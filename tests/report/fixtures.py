"""A made-up run folder with everything in it, small enough to read."""

import csv
import json
import os
from pathlib import Path

import pytest
from PIL import Image

LABELS = ["red", "green", "blue"]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """An evaluated run of 30 samples: captions, classes and ranks, two of them without picture."""
    run = tmp_path / "run"
    run.mkdir()
    _write_predictions(run, tmp_path / "img")
    _write_metrics(run)
    _json(run / "result.json", RESULT)
    _json(run / "environment.json", {"python": "3.12", "gpu": {"name": "none <b>"}})
    (run / "config.yaml").write_text("dim: 64\nnote: </pre><script>alert('config')</script>\n")
    _lines(run / "quarantine.jsonl", [{"path": "a&b.jpg", "reason": "<i>cut short</i>", "id": "q"}])
    for path in run.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return run


RESULT = {
    "command": "eval",
    "metrics": {"caption/cider": 3.2134, "caption/bleu_4": 0.4312, "color/accuracy": 0.7},
    "intervals": {"caption/cider": [3.02, 3.4]},
    "groups": {
        "seen": {"count": 20, "metrics": {"caption/cider": 3.5}},
        "unseen": {"count": 10, "metrics": {"caption/cider": 2.5}},
    },
    "baselines": {
        "most frequent caption": {
            "metrics": {"caption/cider": 0.12},
            "intervals": {"caption/cider": [0.1, 0.14]},
            "difference": {"caption/cider": {"value": 3.0934, "interval": [2.9, 3.3]}},
        }
    },
    "unbeaten": {"color": "color/accuracy 0.70 is not better than <most frequent class>."},
    "count": 30,
    "seconds": 200,
}


def _write_predictions(run: Path, pictures: Path) -> None:
    pictures.mkdir()
    rows = []
    for i in range(30):
        path, color = pictures / f"{i}.jpg", (8 * i, 255 - 8 * i, 90)
        Image.new("RGB", (400, 300), color).save(path)
        label, prediction = LABELS[i % 3], LABELS[i % 3 if i % 5 else (i + 1) % 3]
        rows.append(
            {
                "id": f"s{i:02d}",
                "group": "unseen" if i % 3 == 0 else None,
                "inputs": {"image": [str(path)], "text": "what <color> is it?"},
                "caption": {
                    "caption": f"a picture number {i}",
                    "references": [f"picture {i}", "one & all"],
                    "scores": {"cider": i / 10, "bleu_4": 0.5},
                },
                "color": {
                    "prediction": prediction,
                    "label": label,
                    "probability": 0.6,
                    "top": [[prediction, 0.6], ["none", 0.2]],
                },
                "pair": {"scores": {}, "text_rank": i, "image_rank": 0},
            }
        )
    rows[29]["caption"]["caption"] = '<script>alert("caption")</script>'  # type: ignore[index]
    rows[28]["inputs"]["image"] = [str(pictures / "gone.jpg")]  # type: ignore[index]
    (pictures / "27.jpg").write_bytes(b"\xff\xd8 this is no JPEG")
    _lines(run / "predictions.jsonl", rows)


def _write_metrics(run: Path) -> None:
    with (run / "metrics.csv").open("w", newline="") as file:
        names = ["step", "epoch", "train/loss", "val/loss", "lr"]
        table = csv.DictWriter(file, names)
        table.writeheader()
        for step in range(1, 201):
            table.writerow({"step": step, "epoch": 0, "train/loss": 9 / step, "lr": 3e-4})
            if step % 50 == 0:
                table.writerow({"step": step, "epoch": 0, "val/loss": 10 / step})


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


def _lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
