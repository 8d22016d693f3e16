import csv

import pytest

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.untrusted import bounded_file
from mmtx_cli.training.callbacks.metrics_csv import MetricsFile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def file_of(path, step=0):
    made = MetricsFile(path)
    made.resume(step)
    return made


def test_gains_columns(path):
    file = file_of(path)
    file.write({"step": 10, "epoch": 0.5, "train/loss": 1.25})
    file.write({"step": 20, "epoch": 1.0, "train/loss": 1.0})
    file.write({"step": 20, "epoch": 1.0, "val/loss": 2.0, "val/a,b": 0.1})
    file.write({"step": 30, "epoch": 1.5, "train/loss": 0.123456789})
    assert read(path) == [
        {"step": s, "epoch": e, "train/loss": t, "val/loss": v, "val/a,b": x}
        for s, e, t, v, x in [
            ("10", "0.5", "1.25", "", ""),
            ("20", "1", "1", "", ""),
            ("20", "1", "", "2", "0.1"),
            ("30", "1.5", "0.123457", "", ""),
        ]
    ]


def test_large_steps_stay_whole(path):
    file_of(path).write({"step": 12_345_678.0, "epoch": 1.0})
    assert read(path)[0]["step"] == "12345678"


def test_continues_where_the_run_resumes(path):
    file = file_of(path)
    for step in (10, 20, 30, 40):
        file.write({"step": step, "epoch": step / 10, "train/loss": 1.0 / step})
    file.write({"step": 40, "epoch": 4.0, "val/loss": 1.0})
    resumed = file_of(path, step=30)
    assert [row["step"] for row in read(path)] == ["10", "20", "30"]
    resumed.write({"step": 40, "epoch": 4.0, "train/loss": 0.5})
    resumed.write({"step": 40, "epoch": 4.0, "val/loss": 0.7, "lr": 1.0})
    rows = read(path)
    assert [row["step"] for row in rows] == ["10", "20", "30", "40", "40"]
    assert (rows[-1]["val/loss"], rows[-1]["lr"]) == ("0.7", "1")
    assert rows[0] == {"step": "10", "epoch": "1", "train/loss": "0.1", "val/loss": "", "lr": ""}


def test_a_new_run_starts_an_empty_file(path):
    file_of(path).write({"step": 10, "epoch": 1.0, "old": 1.0})
    file_of(path)
    assert path.read_text().split() == ["step,epoch"]


def test_resuming_without_a_metrics_file(path):
    file_of(path, step=30)
    assert path.read_text().split() == ["step,epoch"]


def test_a_half_written_row_is_left_out(path):
    file = file_of(path)
    file.write({"step": 10, "epoch": 1.0, "train/loss": 1.0})
    with open(path, "ab") as more:
        more.write(b"20,2.0,0.5\n30,\xc3")
    assert [row["step"] for row in file_of(path, step=40).rows] == ["10", "20"]


def test_more_than_a_run_writes(path, monkeypatch):
    file_of(path).write({"step": 10, "epoch": 1.0})
    monkeypatch.setattr(bounded_file, "MAX_CELLS", 2)
    with pytest.raises(CheckpointError, match=r"metrics\.csv.*2 values"):
        file_of(path, step=10)
