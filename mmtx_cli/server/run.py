"""Run the server until a signal arrives; requests in flight are finished."""

import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from mmtx_cli.api.load import model_of
from mmtx_cli.distributed.signals import StopSignal
from mmtx_cli.errors import ConfigError, Interrupted
from mmtx_cli.io.file_errors import reason
from mmtx_cli.runs.run_config import ServeConfig
from mmtx_cli.server.app import make_app
from mmtx_cli.server.service import Service

BACKLOG = 128


def serve(run: ServeConfig) -> None:
    """Serve until a signal arrives.

    Raises:
        ConfigError: if the address cannot be used, or the model cannot caption files.
        Interrupted: after a signal.
    """
    if str(run.trainer.devices) != "1" or run.trainer.num_nodes != 1:
        raise ConfigError("trainer.devices: the server uses one device; remove it")
    listener = listen(run.host, run.port)
    with listener, tempfile.TemporaryDirectory(prefix="mmtx-serve-") as folder:
        service = Service(model_of(run), run, Path(folder))
        try:
            run_until_signal(service, run, listener)
        finally:
            service.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address.

    Raises:
        ConfigError: if it cannot be.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        cause = reason(error) if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"host={host} port={port}: cannot listen there: {cause}; port=0 chooses a free port"
        ) from error


def run_until_signal(service: Service, run: ServeConfig, listener: socket.socket) -> None:
    """Answer requests; print the address.

    Raises:
        Interrupted: after a signal, with the number of answered requests.
    """
    host = f"[{run.host}]" if ":" in run.host else run.host
    port = listener.getsockname()[1]

    def at_once(number: int) -> Interrupted:
        return Interrupted(number, "stopped at once")

    with StopSignal(at_once) as stop:
        server = Server(
            uvicorn.Config(
                make_app(service, (run.host, *run.allowed_hosts)),
                log_level="warning",
                access_log=False,
                lifespan="on",
                http="h11",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=max(1, round(run.request_timeout)),
            ),
            stop,
        )
        print(f"http://{host}:{port}", flush=True)
        server.run(sockets=[listener])
    if stop.number is None:
        raise RuntimeError("the server ended without a signal")
    raise Interrupted(stop.number, f"stopped; {service.answered} files captioned")


class Server(uvicorn.Server):
    """Ends after the first signal that mmtx handles, when the requests in flight are answered."""

    def __init__(self, config: uvicorn.Config, stop: StopSignal) -> None:
        super().__init__(config)
        self.stop = stop

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to ``stop``."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Return True if the server must end."""
        if self.stop.number is not None and not self.should_exit:
            print("finishing the requests in flight", file=sys.stderr, flush=True)
            self.should_exit = True
        return await super().on_tick(counter)
