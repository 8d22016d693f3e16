"""Lightning module that computes losses, accumulates metrics and optimizes; it is task-agnostic."""

import sys
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mmtx_cli.config.schema import OptimizerSettings
from mmtx_cli.counter_rng.tensors import step_keys
from mmtx_cli.distributed.agreement import check_agreement
from mmtx_cli.distributed.collectives import rank, world_size
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.errors import ConfigError
from mmtx_cli.head.base import Head
from mmtx_cli.model.build import build_model
from mmtx_cli.model.constrain import constrain
from mmtx_cli.training.batches.accumulation import with_shares
from mmtx_cli.training.divergence import DivergenceGuard
from mmtx_cli.training.mean_accumulator import MeanAccumulator
from mmtx_cli.training.optimizer import make_optimizer, make_schedule
from mmtx_cli.training.sharding import wrap as sharding
from mmtx_cli.training.teacher_digests import check_teachers, teacher_digests
from mmtx_cli.types import Batch, Prediction


class TrainingModule(pl.LightningModule):
    """Builds the model from a run's plain config and trains it.

    Random choices of the heads (masked patches, mismatched partners) are a function of (seed, step,
    sample id), and dropout is seeded by (seed, batch index, rank): a resumed run draws the same
    random numbers as an uninterrupted one.
    """

    def __init__(
        self,
        config: dict[str, Any],
        optimizer: OptimizerSettings,
        steps: int,
        seed: int = 0,
        trusted: tuple[str, ...] = (),
        freeze: tuple[str, ...] = (),
        guard: DivergenceGuard | None = None,
        accumulate: int = 1,
    ) -> None:
        """Build the model and freeze submodules.

        Args:
            config: Plain config of the run, as ``build_model`` takes it.
            optimizer: Settings of the optimizer and its schedule.
            steps: Optimizer steps of the run.
            seed: Seeds the initialization and all random choices in training.
            trusted: Packages whose classes the config may name.
            freeze: Names of submodules to freeze.
            guard: Checks every optimizer step before it is applied.
            accumulate: Micro-batches per optimizer step.

        Raises:
            ConfigError: if ``freeze`` names a submodule that the model does not have.
        """
        super().__init__()
        torch.manual_seed(seed)
        self.config = config
        self.settings = optimizer
        self.steps = steps
        self.seed = seed
        self.accumulate = accumulate
        self.model = build_model(config, trusted)
        constrain(self.model, config.get("tokenizer"))
        for prefix in freeze:
            try:
                frozen = self.model.get_submodule(prefix)
            except AttributeError as error:
                raise ConfigError(f"freeze: the model has no module {prefix!r}: {error}") from error
            frozen.requires_grad_(False).eval()  # Lightning keeps each module's mode
        self.train_tally, self.val_tally = MeanAccumulator(), MeanAccumulator()
        self.step_tally = MeanAccumulator()  # of the current step, which may be skipped
        self.guard = guard or DivergenceGuard(0, None)
        self.has_started = False
        self.losses: list[Tensor] = []  # of the micro-batches of the current step
        self.ids: list[str] = []
        self.has_missing_inputs = False  # some micro-batch lacks a modality or a head's targets

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the weighted sum of the heads' losses."""
        self.reseed((self.seed * 1_000_003 + batch_idx) * 4099 + rank())
        batch = self.at_step(batch, batch_idx // self.accumulate)
        predictions = self.model(batch)
        total = self.total(predictions, self.step_tally, batch)
        if not self.has_started:
            self.has_started = True
            for name, prediction in predictions.items():
                warn_without_targets(name, self.model.head[name], prediction, len(batch))
        self.step_tally.add("loss", total.detach(), len(batch))
        self.losses.append(total.detach())
        self.ids += batch.ids
        self.has_missing_inputs |= bool(batch.inactive_heads) or any(
            field.empty for field in batch.inputs.values()
        )
        return total

    def at_step(self, batch: Batch, step: int) -> Batch:
        """Return the batch with the random keys of its samples and the progress at ``step``."""
        keys = step_keys(batch.keys, self.seed, step)
        # a tensor, because a compiled model is specialized to each number
        progress = torch.full((), step / max(1, self.steps), device=keys.device)
        return replace(batch, keys=keys, progress=progress)

    def prepared(self, parts: list[Batch], step: int) -> list[Batch]:
        """Return the micro-batches of a step on the module's device, with their loss ``shares``."""
        parts = [part.to(self.device, non_blocking=True) for part in parts]
        weighted = with_shares(
            self.model.head.items(), [self.at_step(part, step) for part in parts]
        )
        return [replace(p, shares=d.shares) for p, d in zip(parts, weighted, strict=True)]

    def reseed(self, seed: int) -> None:
        """Seed the CPU and this device.

        ``torch.manual_seed`` would take 1 ms per call as long as CUDA is not initialized.
        """
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(seed)

    def configure_model(self) -> None:
        """Shard the model, with ``trainer.strategy=fsdp2``."""
        mesh = self._device_mesh  # set by the strategy, in every process
        if mesh is not None and not sharding.is_sharded(self.model):
            sharding.shard(self.model, mesh["data_parallel"])

    def on_fit_start(self) -> None:
        """Check that all processes read the same rows, in the same order."""
        check_agreement(self.config.get("rows") or {}, "data.path")

    def on_validation_epoch_start(self) -> None:
        """Gather a sharded model: processes have different numbers of validation batches."""
        sharding.gather_parameters(self.model)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Accumulate losses and metrics; processes synchronize only at the end of validation."""
        self.total(self.model(batch), self.val_tally, batch)

    def on_validation_epoch_end(self) -> None:
        """Log each head's means over all processes, and the weighted sum of the losses."""
        means = self.val_tally.means(everywhere=True)
        means["loss"] = sum(
            head.weight * means.get(f"{name}/loss", 0.0) for name, head in self.model.head.items()
        )
        sharding.release_parameters(self.model)
        self.log_dict({f"val/{k}": v for k, v in means.items()}, rank_zero_only=True)

    def total(
        self, predictions: dict[str, Prediction], tally: MeanAccumulator, batch: Batch
    ) -> Tensor:
        """Return the weighted sum of the heads' losses; record losses and metrics, also by dataset.

        In training, the loss of a process is scaled such that its mean over the processes and
        micro-batches of a step equals the loss of the whole step. In validation, it is the mean
        over the process's own ``count``.
        """
        weighted = []
        for name, prediction in predictions.items():
            assert prediction.loss is not None, f"head {name} was given no targets"
            size = len(batch)
            count = size if self.training else prediction.outputs.get("count", size)
            loss = prediction.loss * batch.shares.get(name, 1.0)
            metrics = {"loss": loss.detach(), **prediction.metrics}
            for metric, value in metrics.items():
                tally.add(f"{name}/{metric}", value, count)
            if batch.corpus is not None:
                tally.add(f"{batch.corpus}/{name}/loss", prediction.loss.detach(), count)
            weighted.append(self.model.head[name].weight * loss)
        return torch.stack(weighted).sum()

    def configure_optimizers(self) -> dict[str, Any]:  # type: ignore[override]
        """Return AdamW and its learning-rate schedule, which advances every step."""
        # a fused optimizer would unscale float16 gradients only after clipping
        fused = self.trainer.precision != "16-mixed"
        optimizer = make_optimizer(self.model, self.settings, fused)
        schedule = make_schedule(optimizer, self.settings, self.steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient norm, or skip the step if the guard rejects it.

        Done here because Lightning refuses to clip gradients of a fused optimizer.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if (
            self.has_missing_inputs
        ):  # as with several processes: unused parameters get a zero gradient
            for parameter in parameters:
                if parameter.grad is None and parameter.requires_grad:
                    parameter.grad = torch.zeros_like(parameter)
        if sharding.is_sharded(self.model):
            sharding.average_whole_gradients(parameters)
        norm = sharding.total_norm([p.grad for p in parameters if p.grad is not None])
        if fault := self.guard.fault(*self.global_loss_and_norm(norm)):
            self.skip_step(fault, parameters)
        elif gradient_clip_val:
            sharding.clip(parameters, gradient_clip_val, norm)
        self.train_tally.merge(self.step_tally)
        self.losses, self.ids, self.has_missing_inputs = [], [], False

    def global_loss_and_norm(self, norm: Tensor) -> tuple[float, float]:
        """Return the loss of the step, averaged over all processes, and its gradient norm.

        In float16 the norm is returned as 0: the gradient scaler handles overflow.
        """
        loss = torch.stack(self.losses).mean()
        if world_size() > 1:
            torch.distributed.all_reduce(loss)
            loss = loss / world_size()
        norm = norm.new_zeros(()) if self.trainer.precision == "16-mixed" else norm
        both = torch.stack([loss.float(), norm.float()]).tolist()
        return both[0], both[1]

    def skip_step(self, fault: str, parameters: list[torch.nn.Parameter]) -> None:
        """Skip this step: without gradients, no parameter is updated or decayed."""
        message = self.guard.skip(fault, self.trainer.global_step + 1, self.ids)
        for parameter in parameters:
            parameter.grad = None
        self.step_tally = MeanAccumulator()
        if rank() == 0:
            print(message, file=sys.stderr)

    @cached_property
    def teacher_digests(self) -> dict[str, str]:
        """Digests of the frozen teachers, which a checkpoint does not contain."""
        return teacher_digests(dict(self.model.head.items()))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the guard and the metrics since the last row of ``metrics.csv``.

        ``is_last_batch`` is reset, since the resumed run may have more steps.
        """
        self.train_tally.load_state(checkpoint.get("train_tally"))
        check_teachers(checkpoint.get("teachers"), self.teacher_digests)
        self.guard.load_state_dict(checkpoint.get("guard", DivergenceGuard(0, None).state_dict()))
        loops = checkpoint.get("loops", {}).get("fit_loop", {})
        if "epoch_loop.batch_progress" in loops:
            loops["epoch_loop.batch_progress"]["is_last_batch"] = False

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the config that rebuilds the model, the state of the guard, and the metrics."""
        checkpoint["config"] = self.config
        checkpoint["train_tally"] = self.train_tally.state()
        checkpoint["teachers"] = self.teacher_digests
        checkpoint["guard"] = self.guard.state_dict()


def warn_without_targets(name: str, head: Head, prediction: Prediction, size: int) -> None:
    """Warn if the first batch has no targets for a head, or a single pair for a contrastive one.

    Args:
        name: Name of the head.
        head: The head.
        prediction: Its prediction for the first batch.
        size: Number of samples in the batch.
    """
    count = int(prediction.outputs.get("count", size))
    if count == 0:
        print(
            f"head.{name}: none of the {size} samples of the first batch has targets for it; "
            "to see what the data contains: mmtx data action=check",
            file=sys.stderr,
        )
    elif count == 1 and head.traits.compares_samples:
        print(
            f"head.{name}: the first batch has a single pair and thus no negatives; increase "
            "data.batch_size",
            file=sys.stderr,
        )
