import json

import pytest

from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.errors import DataError
from mmtx_cli.io.untrusted import bounded_file
from tests.messages import raises


def fault(i):
    return {"id": str(i), "path": f"{i}.jpg", "reason": "damagé"}


def written(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "quarantine.jsonl"


def test_names_each_sample_once(path):
    quarantine = Quarantine(path, 100, 0.5)
    quarantine.add([])
    assert not path.exists()
    quarantine.add([fault(1), fault(2), fault(1)])
    quarantine.add([fault(2), fault(3)])
    assert written(path) == [fault(1), fault(2), fault(3)]


def test_a_resumed_run_keeps_its_quarantine(path):
    Quarantine(path, 100, 0.5).add([fault(1)])
    Quarantine(path, 100, 0.5).add([fault(1), fault(2)])
    assert written(path) == [fault(1), fault(2)]


def test_too_many_stop_the_run(path):
    quarantine = Quarantine(path, 20, 0.1)
    quarantine.add([fault(1), fault(2)])
    quarantine.add([fault(2)])
    quarantine.check()
    quarantine.add([fault(3)])
    parts = ("3 of 20 samples", "data.max_unreadable_fraction=0.1 ", " 3 (3.jpg: damagé)", path)
    with raises(DataError, *parts):
        quarantine.check()
    assert len(written(path)) == 3


def test_processes_count_together(path):
    one, two = Quarantine(path, 20, 0.1), Quarantine(path, 20, 0.1)
    one.add([fault(1), fault(2)])
    two.add([fault(2), fault(3)])
    assert written(path) == [fault(1), fault(2), fault(3)]
    for quarantine in (one, two):
        with raises(DataError, "3 of 20 samples", "data.max_unreadable_fraction=0.1 "):
            quarantine.check()


def test_samples_repaired_before_resuming_do_not_count(path):
    Quarantine(path, 20, 0.1).add([fault(1), fault(2), fault(3)])
    resumed = Quarantine(path, 20, 0.1)
    resumed.add([fault(4)])
    resumed.check()  # one of 20 since then
    resumed.add([fault(5), fault(6)])
    with raises(DataError, "3 of 20 samples"):
        resumed.check()
    assert written(path) == [fault(i) for i in range(1, 7)]


def test_a_name_that_is_not_utf_8_is_kept(path):
    odd = {"id": "a", "path": "b\udcff.png", "reason": "damagé"}
    Quarantine(path, 20, 0.1).add([odd])
    assert written(path) == [odd]


def test_a_line_that_another_process_is_writing(path):
    Quarantine(path, 20, 0.1).add([fault(1)])
    with open(path, "ab") as file:
        file.write(b'{"id": "\xc3')
    assert list(Quarantine(path, 20, 0.1).recorded().values()) == [fault(1)]


def test_more_than_a_run_writes(path, monkeypatch):
    Quarantine(path, 20, 0.1).add([fault(1)])
    monkeypatch.setattr(bounded_file, "MAX_RECORD_BYTES", 10)
    with pytest.raises(DataError, match=r"quarantine\.jsonl: larger than 10 bytes"):
        Quarantine(path, 20, 0.1)
