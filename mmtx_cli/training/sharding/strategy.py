"""Lightning strategy that trains a model sharded with FSDP2 and writes sharded checkpoints."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from mmtx_cli.distributed.lightning import ScriptLauncher, pl
from mmtx_cli.io.sharded.folder import is_sharded
from mmtx_cli.training.checkpoint_io import SafeCheckpointIO
from mmtx_cli.training.sharding import checkpoint as shards


class ShardedStrategy(pl.strategies.ModelParallelStrategy):
    """Shards parameters, gradients and optimizer state over all processes.

    ``TrainingModule.configure_model`` shards the model; the checkpoints have the keys of those of
    other strategies, so that a run can be resumed with another one.
    """

    def _configure_launcher(self) -> None:
        """Set the launcher, also if the processes exist: ``RankLauncher`` checks their number."""
        assert self.cluster_environment is not None
        self._launcher = ScriptLauncher(
            self.cluster_environment, self.num_processes, self.num_nodes
        )

    def setup_environment(self) -> None:
        """Connect the processes; all of them form one dimension of the device mesh."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        self._tensor_parallel_size = 1
        super().setup_environment()

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the weights, of which each process holds its part."""
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the state of an optimizer, by the numbers of its parameters."""
        optimizer = getattr(optimizer, "optimizer", optimizer)  # Lightning's wrapper
        return optimizer.state_dict()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | os.PathLike, storage_options: Any = None
    ) -> None:
        """Write a sharded checkpoint; all processes take part, and fail together."""
        writer, target = self.checkpoint_io, Path(filepath)
        assert isinstance(writer, SafeCheckpointIO)
        with writer.saving(target, checkpoint.get("global_step")):
            shards.save(checkpoint, target, writer.keep)

    def load_checkpoint(
        self, checkpoint_path: str | os.PathLike, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load a checkpoint of this or of another strategy, of any number of processes."""
        path = Path(checkpoint_path)
        assert self.lightning_module is not None
        if not is_sharded(path):
            whole = SafeCheckpointIO().load_checkpoint(path)
            shards.distribute(path, whole, self.lightning_module, self.optimizers)
            return whole
        return shards.load(path, self.lightning_module, self.optimizers)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Do nothing: ``load_checkpoint`` has loaded the weights."""
