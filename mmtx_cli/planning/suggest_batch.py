"""Report that memory ran out, with a batch size that fits instead of a traceback."""

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mmtx_cli.config.introspect import class_trait
from mmtx_cli.distributed.ranks import STARTED, is_first_process
from mmtx_cli.errors import MmtxError, RunError
from mmtx_cli.planning.batch_size import fitting, key_of, remedies, tried_sizes
from mmtx_cli.planning.out_of_memory import is_out_of_memory
from mmtx_cli.runs.run_config import RunConfig, TrainConfig


@contextmanager
def suggesting_batch_size(run: RunConfig, paths: Sequence[str] = ()) -> Iterator[None]:
    """Turn an error of memory into a message that names a size that fits.

    Args:
        run: The settings.
        paths: The files to caption.

    Raises:
        RunError: if memory runs out.
    """
    try:
        yield
        return
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        what = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
        in_worker = "DataLoader worker" in str(error)
    # not before: the frames of the error hold the tensors that filled the memory
    raise RunError(f"out of memory ({what[:200]}); {remedy(run, paths, in_worker)}")


def remedy(run: RunConfig, paths: Sequence[str], in_worker: bool) -> str:
    """Return what to change.

    Args:
        run: The settings.
        paths: The files to caption.
        in_worker: Whether memory ran out in a process that loads data.
    """
    if in_worker:
        return "a process that loads data needs more: use fewer, data.num_workers=1"
    if isinstance(run, TrainConfig) and run.data.token_budget is not None:
        budget = run.data.token_budget
        return (
            f"with data.token_budget={budget} a batch does not fit; data.token_budget={budget // 2}"
            " may fit"
        )
    size, key = used_size(run), key_of(run)
    single = not STARTED and is_first_process()
    found = largest_below(run, size, paths) if single and size > 1 else None
    if found == 0 or size == 1:
        return f"{key}={size}: not even a single sample fits; {remedies(run)}"
    better = found or size // 2
    fits = "fits" if found else "may fit"
    text = f"with {key}={size} a batch does not fit; {key}={better} {fits}"
    if not isinstance(run, TrainConfig):
        return text
    return text + training_words(run, size, better)


def used_size(run: RunConfig) -> int:
    """Return the number of samples of a batch."""
    if isinstance(run, TrainConfig):
        return run.data.batch_size
    return run.data.eval_batch_size or run.data.batch_size


def largest_below(run: RunConfig, size: int, paths: Sequence[str]) -> int | None:
    """Return the largest size below ``size`` that fits, 0 if none does, None if it is unknown.

    Args:
        run: The settings.
        size: The size that does not fit.
        paths: The files to caption.
    """
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    print("out of memory: looking for a batch size that fits", file=sys.stderr, flush=True)
    try:
        answer = tried_sizes(run, paths, least=1, most=size - 1)
    except (MmtxError, RunError, OSError):
        return None
    return max((line["size"] for line in fitting(answer)), default=0)


def training_words(run: TrainConfig, size: int, better: int) -> str:
    """Return how to keep the size of a step, and what else reduces memory.

    Args:
        run: The settings.
        size: The size that does not fit.
        better: A smaller one.
    """
    parts = run.trainer.accumulate_grad_batches * -(-size // better)
    words = f" with trainer.accumulate_grad_batches={parts}, which keeps the samples of a step"
    others = []
    if any(class_trait(node["_target_"], "compares_samples") for node in run.head.values()):
        words = " (its samples are compared with those of the same batch only)"
        if run.trainer.encoder_micro_batch is None:
            others.append(f"trainer.encoder_micro_batch={better} keeps data.batch_size={size}")
    if not run.trainer.activation_checkpointing:
        others.append("trainer.activation_checkpointing=true takes less memory and more time")
    return words + "".join(f"; {other}" for other in others)
