"""The batches of the parts that this process takes, and of inputs in their order."""

from collections.abc import Iterator

from torch.utils.data import Sampler

from mmtx_cli.inference.caption_plan import Plan

Keys = list[tuple[int, int]]


class PartSampler(Sampler[Keys]):
    """Yields batches of rows; a part is taken when its first batch is about to be loaded."""

    def __init__(self, plan: Plan, batch_size: int) -> None:
        self.plan, self.batch_size = plan, batch_size

    def __iter__(self) -> Iterator[Keys]:
        """Take unfinished parts, one after the other."""
        for number in self.plan.take():
            rows = self.plan.reading_order(number)
            for i in range(0, len(rows), self.batch_size):
                yield [(0, row) for row in rows[i : i + self.batch_size]]


class InOrder(Sampler[Keys]):
    """Yields batches of ``count`` rows in their order."""

    def __init__(self, count: int, batch_size: int) -> None:
        self.count, self.batch_size = count, batch_size

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[Keys]:
        """Yield the keys of each batch."""
        for i in range(0, self.count, self.batch_size):
            yield [(0, row) for row in range(i, min(i + self.batch_size, self.count))]
