"""Choose the largest batch size that fits, from sizes that were tried with real steps."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmtx_cli.errors import ConfigError
from mmtx_cli.planning.request import Answer, Request, measured
from mmtx_cli.planning.show import amount
from mmtx_cli.runs.run_config import RunConfig, TrainConfig
from mmtx_cli.runs.variant import variant

KEPT = 0.2
"""Share of the available memory that a batch leaves free."""
FIRST = 8
"""The first size that is tried."""
LONGEST = 60.0
"""Seconds that the trial of a size may take; no larger one is tried."""


def find_size(run: RunConfig, paths: Sequence[str] = ()) -> int:
    """Return the largest size, and say on standard error which it is and why.

    Args:
        run: The settings.
        paths: The files to caption.

    Raises:
        ConfigError: if not even a batch of one sample fits.
    """
    key = key_of(run)
    answer = tried_sizes(run, paths)
    if not (lines := fitting(answer)):
        answer = tried_sizes(run, paths, least=1, most=FIRST // 2)
        lines = fitting(answer)
    if not lines:
        raise ConfigError(f"{key}=auto: not even a batch of one sample fits; {remedies(run)}")
    best = lines[-1]
    free = best["free"]
    share = f" of {amount(free)} that are available" if free else ""
    why = reason_of(answer, best)
    print(f"{key}={best['size']}: needs {amount(best['needed'])}{share}; {why}", file=sys.stderr)
    return int(best["size"])


def tried_sizes(
    run: RunConfig, paths: Sequence[str] = (), *, least: int = FIRST, most: int | None = None
) -> Answer:
    """Return the sizes that were tried, powers of two for each device.

    Args:
        run: The settings.
        paths: The files to caption.
        least: The first size to try, unless there are fewer samples.
        most: The largest size to try.
    """
    trains = isinstance(run, TrainConfig)
    with tempfile.TemporaryDirectory(prefix="mmtx-auto-") as name:
        options = {"paths": list(paths), "least": least, "most": most}
        # any size is valid for setting up; those that are tried are batches of their own
        own = variant(run, Path(name), **({} if trains else {"eval_batch_size": 1}))
        return measured(Request("training_sizes" if trains else "inference_sizes", own, options))


def fitting(answer: Answer) -> list[dict[str, Any]]:
    """Return the lines of the sizes that leave enough memory free."""
    return [
        line
        for line in answer.lines
        if line["free"] is None or line["needed"] <= (1 - KEPT) * line["free"]
    ]


def reason_of(answer: Answer, best: dict[str, Any]) -> str:
    """Return why no larger size was chosen."""
    if best is not answer.lines[-1]:
        larger = answer.lines[answer.lines.index(best) + 1]
        needs = amount(larger["needed"])
        return f"{larger['size']} needs {needs}, which leaves less than {KEPT:.0%} free"
    if answer.out_of_memory:
        return f"{2 * best['size']} does not fit"
    if best["seconds"] > LONGEST:
        return f"larger ones take too long (two steps took {best['seconds']:.0f} s)"
    return f"there are only {best['most']} samples"


def key_of(run: RunConfig) -> str:
    """Return the key of the batch size of a command."""
    return "data.batch_size" if isinstance(run, TrainConfig) else "data.eval_batch_size"


def remedies(run: RunConfig) -> str:
    """Return what reduces the memory of a run other than its batch size."""
    if isinstance(run, TrainConfig):
        return (
            "use a smaller model, trainer.activation_checkpointing=true or "
            "trainer.precision=bf16-mixed"
        )
    return "use trainer.precision=bf16-mixed, a smaller model, or a device with more memory"
