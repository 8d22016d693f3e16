"""Disk space that a run needs, compared with what is free before it starts."""

import sys
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mmtx_cli.config.schema import TrainerSettings
from mmtx_cli.errors import RunError
from mmtx_cli.io.checkpoint_files.keep import disk_usage
from mmtx_cli.io.file_errors import free_space, megabytes

MOMENTS = 2
"""Numbers that AdamW stores for each trained parameter."""


@dataclass(frozen=True)
class RunSpace:
    """Bytes that the files of a run take, estimated from the sizes of tensors."""

    checkpoint: int
    """One checkpoint: weights, averaged weights if there are any, and the optimizer's moments."""
    model: int
    """The model folder."""
    replaced: int
    """Checkpoints that are replaced as the run goes on: last, previous, best, and the one that is
    being written."""
    kept: int
    """Checkpoints of certain steps, which stay (``trainer.keep_every``)."""

    @property
    def needed(self) -> int:
        """Bytes that the run cannot do without."""
        return self.checkpoint * self.replaced + self.model


def run_space(model: nn.Module, settings: TrainerSettings, steps: int, validates: bool) -> RunSpace:
    """Return the space that a run needs.

    Args:
        model: The model.
        settings: Trainer settings.
        steps: Number of optimizer steps.
        validates: Whether there are validation samples, and thus a best checkpoint.
    """
    state = sum(x.nbytes for x in model.state_dict().values())
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    copies = 1 if settings.ema is None else 2
    return RunSpace(
        checkpoint=copies * state + MOMENTS * trained,
        model=state,
        replaced=settings.keep_checkpoints + validates + 1,
        kept=steps // settings.keep_every if settings.keep_every else 0,
    )


def check_run_space(space: RunSpace, run_dir: Path) -> None:
    """Check that the disk of the run folder has enough space; warn if kept checkpoints fill it.

    Space of a resumed run's checkpoints counts as free: they will be replaced.

    Raises:
        RunError: if the checkpoints and the model do not fit.
    """
    free = free_space(run_dir) + disk_usage(run_dir / "checkpoints")
    state = f"{megabytes(free)} free on its disk"
    if free < space.needed:
        raise RunError(
            f"run_dir={run_dir}: not enough space: the run needs {megabytes(space.needed)} for "
            f"{space.replaced} checkpoints of {megabytes(space.checkpoint)} and the model, with "
            f"{state}; free some space, use run_dir= on another disk, or keep fewer checkpoints: "
            "trainer.keep_checkpoints=1"
        )
    kept = space.kept * space.checkpoint
    if free < space.needed + kept:
        print(
            f"warning: run_dir={run_dir}: {space.kept} kept checkpoints will need "
            f"{megabytes(kept)}, with {state}; free some space, move kept checkpoints away during "
            "the run, or increase trainer.keep_every",
            file=sys.stderr,
        )
