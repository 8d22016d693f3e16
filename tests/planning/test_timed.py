import time

from mmtx_cli.planning.timed import Timed
from mmtx_cli.planning.training_plan import seconds_of_batch


class Slow:
    num_workers = 0

    def __init__(self, seconds: float, count: int) -> None:
        self.seconds, self.count = seconds, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self):
        for i in range(self.count):
            time.sleep(self.seconds)
            yield i


def test_only_whole_steps_and_the_first_batches_before_them():
    ended = []
    timed = Timed(
        lambda: "ab", Slow(0, 100), parts=3, skipped=1, most=2, at_end=lambda: ended.append(1)
    )
    assert [*timed] == ["a", "b", *range(9)]
    assert timed.figures["batches"] == 6
    assert ended == [1]


def test_a_short_loader():
    timed = Timed(list, Slow(0, 2))
    assert [*timed] == [0, 1]
    assert timed.figures["batches"] == 1


def test_waiting_and_computing_are_told_apart():
    timed = Timed(list, Slow(0.02, 8))
    for _ in timed:
        pass
    assert timed.figures["wait"] >= 0.02 > timed.figures["busy"]


def test_with_workers_the_slower_one_decides():
    timed = {"busy": 2.0, "wait": 0.0, "lasting": 2.0}
    assert seconds_of_batch(timed, 1.0) == (2.0, 0.0)
    assert seconds_of_batch(timed, 4.0) == (4.0, 0.5)


def test_without_workers_both_add_up():
    assert seconds_of_batch({"busy": 3.0, "wait": 1.0, "lasting": 4.0}, None) == (4.0, 0.25)
