"""Warn during training if the captions of different inputs have become the same."""

import sys
from dataclasses import replace
from typing import Any

from torch import Tensor

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.training.degeneracy import Degeneracy, degeneracy
from mmtx_cli.training.sharding.strategy import ShardedStrategy
from mmtx_cli.types import IGNORE_INDEX, Batch

SAMPLES = 32
"""Validation samples that are captioned greedily at each validation, at least."""
TOKENS = 24
"""Length at which these captions are cut: an untrained model does not end them."""
LOCAL = (pl.strategies.SingleDeviceStrategy, pl.strategies.DDPStrategy, ShardedStrategy)
"""Strategies in which a process has the whole model during validation."""


class CaptionAlarm(pl.Callback):
    """Captions some validation samples, logs how diverse the captions are, and warns of a collapse.

    A model that has learned little gives all inputs the same caption, so the alarm rings only if
    the captions were diverse before, or in the second half of the training.
    """

    def __init__(self, steps: int) -> None:
        """``steps`` is the number of steps of the run."""
        self.steps = steps
        self.best = 0.0
        """Largest share of distinct captions so far."""
        self.warnings: list[str] = []
        self.found: dict[str, list[tuple[list[int], list[int]]]] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run continues with."""
        return {"best": self.best, "warnings": self.warnings}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue an interrupted run."""
        self.best, self.warnings = float(state_dict["best"]), list(state_dict["warnings"])

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Caption the samples of the first batches."""
        if not trainer.is_global_zero or not isinstance(trainer.strategy, LOCAL):
            return
        for name, head in pl_module.model.head.items():
            pairs = self.found.setdefault(name, [])
            target = batch.targets.get("captions")
            if len(pairs) >= SAMPLES or target is None or not writes_captions(head):
                continue
            pairs += greedy(
                pl_module.model, name, batch, target.view(len(batch), -1, target.shape[-1])[:, 0]
            )

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Log the figures of each head; warn if its captions have collapsed."""
        for name, pairs in self.found.items():
            if not pairs:
                continue
            captions, references = zip(*pairs, strict=True)
            figures = degeneracy(captions, references)
            for key in ("distinct", "repetition"):
                value = getattr(figures, key)
                pl_module.log(f"val/{name}/{key}", value, rank_zero_only=True)
            if fault := self.fault(figures, trainer.global_step):
                message = f"step {trainer.global_step}: head.{name}: {fault}"
                self.warnings.append(message)
                print(f"warning: {message}", file=sys.stderr, flush=True)
            self.best = max(self.best, figures.distinct)
        self.found = {}

    def fault(self, figures: Degeneracy, step: int) -> str | None:
        """Return what is wrong with the captions, None if nothing is."""
        if step * 2 < self.steps and figures.distinct * 2 > self.best:
            return None
        return figures.fault()


def writes_captions(head: Any) -> bool:
    """Return True if a head is trained to generate captions, and not only to predict words."""
    if not hasattr(head, "generation") or "captions" not in head.targets:
        return False
    return getattr(head.decoder, "objective", "text") == "text"


def greedy(
    model: Any, name: str, batch: Batch, target: Tensor
) -> list[tuple[list[int], list[int]]]:
    """Return the tokens of the greedy caption and of the reference of samples that have both.

    Args:
        model: The model.
        name: Name of the head.
        batch: The samples.
        target: Their first references, [b, t], padded with IGNORE_INDEX.
    """
    head = model.head[name]
    settings, constraint = head.generation, head.constraint
    head.generation, head.constraint = GenerationSettings(num_beams=1, max_new_tokens=TOKENS), None
    try:
        tokens = model.predict(replace(batch, targets={}), [name])[name]["tokens"][:, 0]
    finally:
        head.generation, head.constraint = settings, constraint
    own = [
        ([t for t in text if t != head.eos_id], [t for t in words if t != IGNORE_INDEX])
        for text, words in zip(tokens.tolist(), target.tolist(), strict=True)
    ]
    return [(text, words) for text, words in own if words]
