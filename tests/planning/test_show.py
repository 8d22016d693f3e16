import pytest

from mmtx_cli.config.schema import TrainerSettings
from mmtx_cli.planning.batch_size import KEPT, fitting, reason_of
from mmtx_cli.planning.request import Answer
from mmtx_cli.planning.show import amount, print_plan, seconds
from mmtx_cli.planning.training_plan import memory_of, times_of

MEASURED = {
    "parts": {"weights": 400, "gradients": 400, "optimizer": 800, "averaged weights": 0},
    "activations": 2000,
    "peak": {"bytes": 10_000, "total": None},
    "world": 1,
    "components": {"encoder.image": {"parameters": 60, "trained": 60}},
    "accumulate": 2,
    "steps": 10,
    "step": {"busy": 1.0, "wait": 0.0, "lasting": 1.0},
    "loader": 0.5,
    "epoch_batches": 8,
    "validation": {"batches": 3, "start": 1.0, "batch_busy": 2.0, "batch_lasting": 2.0},
    "built_seconds": 3.0,
    "first_seconds": [5.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    "loader_start": 1.0,
    "save_seconds": 0.5,
    "finish_seconds": 2.0,
}


def test_parts_of_memory_add_up_to_the_peak():
    found = memory_of(TrainerSettings(), MEASURED, [])
    assert found.pop("peak") == sum(found.values()) == 10_000
    assert found["other"] == 10_000 - 400 - 400 - 800 - 2000
    assert "averaged weights" not in found


def test_two_devices_hold_the_gradients_of_both():
    notes = []
    found = memory_of(TrainerSettings(strategy="ddp"), MEASURED | {"world": 2}, notes)
    assert found["peak"] == 10_000 + 400
    assert len(notes) == 1


def test_sharded_weights():
    found = memory_of(TrainerSettings(strategy="fsdp"), MEASURED | {"world": 4}, [])
    assert (found["weights"], found["optimizer"]) == (100, 200)
    assert found["gathered weights"] == 240


def test_time_of_a_run():
    found = times_of(TrainerSettings(val_every=5), MEASURED, 0.5)
    assert found["seconds_per_step"] == 2.0
    assert found["steps_per_epoch"] == 4
    each = found["seconds"]
    assert each["training"] == 20.0
    assert each["validation"] == 2 * (1 + 3 * 2.0)
    assert each["saving"] == (1 + 2 * 2) * 0.5
    assert each["start"] == 0.5 + 3.0 + 1.0 + 4.0  # with what only the first step takes
    assert each["total"] == sum(each.values()) - each["total"]


def test_a_run_shorter_than_an_epoch_is_validated_once():
    found = times_of(TrainerSettings(), MEASURED | {"steps": 2}, 0)
    assert found["seconds"]["validation"] == 7.0


def test_table(capsys: pytest.CaptureFixture):
    run = TrainerSettings()
    plan = {
        "command": "pretrain",
        "device": "cpu",
        "devices": 2,
        "parameters": {
            "total": 5_000_000,
            "trained": 1_000_000,
            "components": {"encoder.image": {"parameters": 5_000_000, "trained": 1_000_000}},
        },
        "memory_bytes": memory_of(run, MEASURED, []),
        "disk_bytes": {"checkpoints": 3_000_000_000, "total": 3_000_000_000},
        "notes": ["a note"],
        **times_of(run, MEASURED, 0),
    }
    print_plan(plan)
    shown = capsys.readouterr().out
    words = ("2 × cpu", "5.00 M (1.00 M trained)", "activations", "3.00 GB", "a note", "10 steps")
    for text in words:
        assert text in shown, text


def test_units():
    assert [amount(2_500_000), amount(1_500_000_000)] == ["2.5 MB", "1.50 GB"]
    assert [seconds(0.0021), seconds(59.0), seconds(3700)] == ["2.1 ms", "59.0 s", "1:01:40"]


def line(size: int, needed: int, free: int | None = 1000) -> dict:
    return {"size": size, "needed": needed, "free": free, "seconds": 1.0, "most": 100}


def test_a_share_of_the_memory_stays_free():
    most = int(1000 * (1 - KEPT))
    answer = Answer([line(8, 10), line(16, most), line(32, most + 1)])
    assert [found["size"] for found in fitting(answer)] == [8, 16]
    assert "32 needs" in reason_of(answer, answer.lines[1])


def test_reasons_for_the_largest():
    lines = [line(64, 10)]
    assert "128 does not fit" in reason_of(Answer(lines, out_of_memory=True), lines[0])
    assert "only 100 samples" in reason_of(Answer(lines), lines[0])
    lines[0]["seconds"] = 99.0
    assert "too long" in reason_of(Answer(lines), lines[0])


def test_without_a_known_limit_all_fit():
    assert fitting(Answer([line(8, 10**15, None)]))
