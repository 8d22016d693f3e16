"""From an uploaded file to its caption: decode, batch, generate."""

import asyncio
import sys
import time
import traceback
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.requests import Request

from mmtx_cli.api.captions import Captioner
from mmtx_cli.api.model import Model
from mmtx_cli.data.dataset import Example
from mmtx_cli.data.loader import collate_of
from mmtx_cli.errors import ConfigError
from mmtx_cli.explanation.support import check_explainable
from mmtx_cli.runs.run_config import ServeConfig
from mmtx_cli.server.batcher import Batcher
from mmtx_cli.server.decoding import Decoders
from mmtx_cli.server.heat_maps import encoded
from mmtx_cli.server.limits import Limits, RefusedRequestError
from mmtx_cli.server.settings import Settings, plain, settings_of
from mmtx_cli.server.upload import check_headers, received

METHOD = "gradient"
"""How words are explained."""
MOST_SETTINGS = 256
"""Number of settings that are kept: validating them takes milliseconds."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Key:
    """What requests of one batch have in common."""

    generation: tuple[tuple[str, str], ...]
    seed: int
    explain: bool


@dataclass(frozen=True)
class Upload:
    """An uploaded file that has been read; ``name`` seeds the random numbers of its texts."""

    name: str
    example: Example

    @property
    def identity(self) -> str:
        """The identity of the file for ``mmtx caption``."""
        return f"{self.name} None"


class Service:
    """A model that captions uploaded files, with those of other requests at the same time."""

    def __init__(self, model: Model, run: ServeConfig, folder: Path) -> None:
        """Start the decoding processes.

        Args:
            model: The model.
            run: The settings.
            folder: Folder of temporary files.
        """
        self.model, self.folder, self.limits = model, folder, Limits.of(run)
        self.window = run.batch_window
        self.captioner = lru_cache(MOST_SETTINGS)(self._captioner)
        self.captioner(())  # a model that cannot caption is refused at once
        self.collate = collate_of(model.reader.files([], [], None))
        self.decoders = Decoders(model.reader, run.decoders, self.limits)
        self.threads = ThreadPoolExecutor(run.decoders, "decoder")
        size = run.data.eval_batch_size or run.data.batch_size
        self.batcher: Batcher[Key, Upload, Row] = Batcher(
            self.rows, size, run.batch_window, self.coming
        )
        self.arrivals: dict[int, float] = {}
        """When each request began, until its file is read."""
        self.decoding = 0
        self.requests = self.answered = 0
        self.explains = self.can_explain()

    def _captioner(self, generation: tuple[tuple[str, str], ...]) -> Captioner:
        return self.model.captioner({key: plain(value) for key, value in generation})

    def can_explain(self) -> bool:
        """Return True if the captions of the model can be explained."""
        try:
            check_explainable(self.model.network, METHOD, self.captioner(()).name)
        except ConfigError:
            return False
        return True

    def coming(self) -> int:
        """Return the number of files that are about to be read; slow uploads do not count."""
        now = time.monotonic()
        recent = sum(now - start < self.window for start in self.arrivals.values())
        return recent + self.decoding

    def rows(self, key: Key, uploads: Sequence[Upload]) -> list[Row]:
        """Return the rows of a batch; called in the thread of the model."""
        for i, upload in enumerate(uploads):
            upload.example.id = str(i)
        batch = self.collate([upload.example for upload in uploads])
        captioner = self.captioner(key.generation)
        if not key.explain:
            return [*captioner.rows([batch], uploads, None, key.seed)]
        found = captioner.explained([batch], uploads, None, key.seed, METHOD)
        return [
            row | encoded(explanation, upload.example)
            for (row, explanation), upload in zip(found, uploads, strict=True)
        ]

    async def caption(self, request: Request) -> Row:
        """Return the caption of the file in the body of a request.

        Raises:
            RefusedRequestError: if the request is refused.
        """
        with self.counted():
            check_headers(request.headers, self.limits)
            settings = settings_of(request.query_params)
            self.check(settings)
            with self.arriving(request):
                async with received(request, self.folder, settings.name, self.limits) as path:
                    deadline = asyncio.get_running_loop().time() + self.limits.request_seconds
                    example = await self.in_time(deadline, self.read(path, settings.text))
            seed = self.model.run.seed if settings.seed is None else settings.seed
            key = Key(settings.generation, seed, settings.explain)
            work = self.batcher.submit(Upload(settings.name, example), key)
            row = await self.in_time(deadline, work)
        self.answered += 1
        if "error" in row:
            raise RefusedRequestError(422, row["error"])
        return {"name": settings.name, **row}

    def check(self, settings: Settings) -> None:
        """Raise RefusedRequestError for settings that the model does not have."""
        try:
            self.model.check_caption(settings.text is not None, seed=settings.seed)
            captioner = self.captioner(settings.generation)
            if settings.explain:
                check_explainable(self.model.network, METHOD, captioner.name)
        except ConfigError as error:
            raise RefusedRequestError(400, *error.faults) from error

    async def read(self, path: Path, text: str | None) -> Example:
        """Return a file as an example, decoded in another process."""
        loop = asyncio.get_running_loop()
        self.decoding += 1
        try:
            return await loop.run_in_executor(self.threads, self.decoders.read, str(path), text)
        finally:
            self.decoding -= 1

    async def in_time(self, deadline: float, work: Any) -> Any:
        """Return the result of a coroutine.

        Raises:
            RefusedRequestError: if it is not there before the deadline.
        """
        try:
            async with asyncio.timeout_at(deadline):
                return await work
        except TimeoutError as error:
            fault = f"no answer within {self.limits.request_seconds:g} s; the server is busy"
            raise RefusedRequestError(504, fault) from error

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a request.

        Raises:
            RefusedRequestError: if there are too many.
        """
        if self.requests >= self.limits.requests:
            fault = f"{self.requests} requests are being answered; try again later"
            raise RefusedRequestError(503, fault, close=True)
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextmanager
    def arriving(self, request: Request) -> Iterator[None]:
        """Let the batcher know that a file will be read soon, and when it has been."""
        self.arrivals[id(request)] = time.monotonic()
        try:
            yield
        finally:
            del self.arrivals[id(request)]
            self.batcher.notify()

    @asynccontextmanager
    async def running(self, app: Any) -> AsyncIterator[None]:
        """Compute batches while the server runs."""
        task = asyncio.create_task(self.batcher.run())
        task.add_done_callback(report)
        try:
            yield
        finally:
            task.cancel()

    def close(self) -> None:
        """End threads and processes."""
        self.threads.shutdown(cancel_futures=True)
        self.batcher.close()
        self.decoders.close()


def report(task: "asyncio.Task[None]") -> None:
    """Print why batches are no longer computed, unless the server is stopping."""
    if not task.cancelled() and (error := task.exception()) is not None:
        traceback.print_exception(error, file=sys.stderr)
