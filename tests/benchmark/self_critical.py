"""The share of the reward in a step of self-critical training.

Run from the project's root, with the arguments of ``mmtx finetune``: ``python
tests/benchmark/self_critical.py experiment=scenes_self_critical ckpt=RUN data.path=MANIFEST``.
Prints the medians of the CPU time of a step, and of the rewards in it, over the second half of 60
steps. In the first epoch, the references of each sample become vectors.
"""

import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

sys.path[:0] = [str(Path(__file__).parents[2])]

from mmtx_cli.cli import main as mmtx  # noqa: E402
from mmtx_cli.head.objective.self_critical import SelfCriticalHead  # noqa: E402
from mmtx_cli.training.module import TrainingModule  # noqa: E402

STEPS = 60


def measure(*args: str) -> tuple[list[float], list[float]]:
    """CPU seconds of each step, and of its rewards."""
    begun: list[float] = []
    rewards: list[float] = []
    rewards_of, step_of = SelfCriticalHead.rewards, TrainingModule.training_step

    def timed_rewards(self: Any, *given: Any) -> Any:
        start = time.process_time()
        found = rewards_of(self, *given)
        rewards.append(time.process_time() - start)
        return found

    def timed_step(self: Any, *given: Any) -> Any:
        begun.append(time.process_time())
        return step_of(self, *given)

    quiet = [f"trainer.max_steps={STEPS}", f"trainer.val_every={STEPS}", "trainer.progress=false"]
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(SelfCriticalHead, "rewards", timed_rewards),
        mock.patch.object(TrainingModule, "training_step", timed_step),
    ):
        if mmtx(["finetune", "head=self_critical", *args, *quiet, f"run_dir={folder}/run"]):
            raise SystemExit("mmtx finetune failed")
    steps = [later - earlier for earlier, later in pairwise(begun)]
    return steps[STEPS // 2 :], rewards[STEPS // 2 : STEPS]


def main() -> None:
    steps, rewards = map(statistics.median, measure(*sys.argv[1:]))
    print(f"step {steps * 1e3:.0f} ms, rewards {rewards * 1e3:.1f} ms: {rewards / steps:.1%}")


if __name__ == "__main__":
    main()
