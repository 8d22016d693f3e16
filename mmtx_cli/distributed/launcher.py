"""Lightning launcher that connects ranks with a timeout and ends all of them when one fails."""

import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import torch.distributed as dist

from mmtx_cli.config.overrides import as_typed
from mmtx_cli.config.schema import TrainerSettings
from mmtx_cli.distributed import ranks
from mmtx_cli.distributed.lightning import (
    FabricScriptLauncher,
    ScriptLauncher,
    pl,
    set_num_threads_if_needed,
)
from mmtx_cli.errors import ConfigError

LIGHTNING_ERRORS = (ValueError, TypeError, pl.utilities.exceptions.MisconfigurationException)
"""Exceptions that Lightning raises for invalid settings."""
GRACE = 10.0
"""Seconds that this rank has to end by itself after another rank has failed."""
_POLL_SECONDS = 0.2


def end_together(strategy: Any, settings: TrainerSettings) -> None:
    """Replace the subprocess launcher of a Lightning strategy by ``RankLauncher``.

    Raises:
        ConfigError: if the environment contains an unusable address.
    """
    launcher = strategy.launcher
    if isinstance(launcher, ScriptLauncher | FabricScriptLauncher):
        strategy._launcher = RankLauncher(launcher, settings)


class RankLauncher(ScriptLauncher):
    """Starts the other local ranks, and ends this rank when one of them fails."""

    def __init__(
        self, launcher: ScriptLauncher | FabricScriptLauncher, settings: TrainerSettings
    ) -> None:
        super().__init__(launcher.cluster_environment, launcher.num_processes, launcher.num_nodes)
        self.settings = settings
        # read now: after launching, it is True for this launcher as well
        self.external = self.cluster_environment.creates_processes_externally
        if not self.external:
            check_address(self.num_nodes)

    def launch(self, function: Callable, *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Call ``function`` in every local rank; ranks of other nodes are started on those nodes.

        Raises:
            ConfigError: if the processes cannot connect.
        """
        environment = self.cluster_environment
        try:
            environment.validate_settings(self.num_processes, self.num_nodes)
        except ValueError as error:
            raise ConfigError(f"trainer.devices, trainer.num_nodes: {error}") from error
        if not self.external:
            with ranks.parent():
                self._call_children_scripts()
            ranks.STARTED.extend(self.procs)
        where = f"{environment.main_address}:{environment.main_port}"
        if self.num_nodes > 1 and environment.local_rank() == 0:
            print(self.waits(where), file=sys.stderr, flush=True)
        watch = Watch(self.late(where), self.settings.join_timeout if self.num_nodes > 1 else None)
        watch.start()
        set_num_threads_if_needed(num_processes=self.num_processes)
        try:
            return function(*args, **kwargs)
        except (dist.DistNetworkError, dist.DistStoreError) as error:
            if dist.is_initialized():
                raise
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"the {self.world} processes cannot connect to {where} (MASTER_ADDR, MASTER_PORT): "
                f"{reason}"
            ) from error
        finally:
            if trainer is not None:  # training is finished here; with Fabric, the work only begins
                watch.done = True

    @property
    def world(self) -> int:
        """Number of processes on all nodes."""
        return self.num_processes * self.num_nodes

    def waits(self, where: str) -> str:
        """Return a message about what this node waits for and how to start the other nodes."""
        limit = f"for at most trainer.join_timeout={self.settings.join_timeout:g} s"
        if self.external:
            return f"waiting {limit} for all {self.world} processes at {where}"
        if self.cluster_environment.node_rank():
            return f"waiting {limit} for the first of {self.num_nodes} nodes at {where}"
        address, _, port = where.rpartition(":")
        others = self.num_nodes - 1
        command = f"MASTER_ADDR={address} MASTER_PORT={port} NODE_RANK=1 {this_command()}"
        return (
            f"waiting {limit} at {where} for {others} of {self.num_nodes} nodes; start each with "
            f"its own NODE_RANK, 1 to {others}: {command}{loopback_warning(address)}"
        )

    def late(self, where: str) -> str:
        """Return the error message for processes that did not connect in time."""
        return (
            f"trainer.num_nodes={self.num_nodes}: not all {self.world} processes connected to "
            f"{where} within trainer.join_timeout={self.settings.join_timeout:g} s; run the same "
            "command on every node, with MASTER_ADDR and MASTER_PORT of the first node and its own "
            "NODE_RANK, check that the nodes can reach each other, or increase trainer.join_timeout"
        )


class Watch(threading.Thread):
    """Ends this process when other ranks fail or do not connect: it may hang in a collective."""

    def __init__(self, late: str, timeout: float | None) -> None:
        """Print ``late`` and exit if there is no process group after ``timeout`` seconds."""
        super().__init__(daemon=True, name="ranks")
        self.late, self.timeout = late, timeout
        self.done = False

    def run(self) -> None:
        """Poll the ranks until ``done``."""
        start, lost_at = time.monotonic(), None
        while not self.done:
            time.sleep(_POLL_SECONDS)
            if self.done:  # Lightning kills the other ranks after Ctrl-C
                return
            now, joined = time.monotonic(), dist.is_initialized()
            if joined:
                self.timeout = None
            if self.timeout is not None and now - start > self.timeout:
                end(self.late, 2)
            if (fault := ranks.failed(joined)) is None:
                continue
            lost_at = lost_at or now
            if not joined or now - lost_at > GRACE:
                end(fault, ranks.status())


def end(message: str, status: int) -> None:
    """Print a message, then end the ranks that this process started and the process itself."""
    print(f"mmtx {sys.argv[1]}: {message}", file=sys.stderr, flush=True)
    ranks.end(0)
    os._exit(status)


def check_address(num_nodes: int) -> None:
    """Check the environment variables with the address for the processes to be started.

    Raises:
        ConfigError: naming the environment variable.
    """
    port, node = (
        env_integer(name, maximum)
        for name, maximum in (("MASTER_PORT", 65535), ("NODE_RANK", None))
    )
    node = node or 0
    if node >= num_nodes:
        raise ConfigError(
            f"NODE_RANK={node}: must be between 0 and {num_nodes - 1} with "
            f"trainer.num_nodes={num_nodes}"
        )
    if node and (port is None or "MASTER_ADDR" not in os.environ):
        raise ConfigError(
            f"NODE_RANK={node}: set MASTER_ADDR and MASTER_PORT to those of the first node"
        )
    if port is not None and node == 0:
        try:
            with socket.create_server(("", port)):
                pass
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else error
            raise ConfigError(
                f"MASTER_PORT={port}: {reason}; use a free port, or unset it to choose one "
                "automatically"
            ) from error


def env_integer(name: str, maximum: int | None) -> int | None:
    """Return an environment variable as an integer, None if it is not set.

    Raises:
        ConfigError: if it is not a whole number, or larger than ``maximum``.
    """
    text = os.environ.get(name)
    if text is None:
        return None
    if not text.isdecimal() or (maximum is not None and int(text) > maximum):
        raise ConfigError(f"{name}={text}: invalid value; set it to a whole number, or unset it")
    return int(text)


def this_command() -> str:
    """Return the command line of this process as a user would type it."""
    return shlex.join(["mmtx", sys.argv[1], *map(as_typed, sys.argv[2:])])


def loopback_warning(address: str) -> str:
    """Return a warning if other machines cannot reach the address, else an empty string."""
    if address not in ("localhost", "127.0.0.1", "::1"):
        return ""
    return f" ({address} is local to this machine: set MASTER_ADDR to one that others can reach)"
