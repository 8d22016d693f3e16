import json

import pytest

from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.error import DataError


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


def test_a_resumed_run_goes_on(path):
    Quarantine(path, 100, 0.5).add([fault(1)])
    Quarantine(path, 100, 0.5).add([fault(1), fault(2)])
    assert written(path) == [fault(1), fault(2)]


def test_too_many_stop_the_run(path):
    quarantine = Quarantine(path, 20, 0.1)
    quarantine.add([fault(1), fault(2)])
    quarantine.add([fault(2)])
    with pytest.raises(DataError, match=r"3 of 20 samples .*max_bad_fraction=0.1.*3 \(3.jpg: dam"):
        quarantine.add([fault(3)])
    assert len(written(path)) == 3
