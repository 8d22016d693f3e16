"""Decode uploaded files in isolated processes, several at a time."""

import os
import queue
from dataclasses import replace

from mmtx_cli.data.dataset import Example
from mmtx_cli.data.pieces import Piece
from mmtx_cli.data.sample_reader import Media
from mmtx_cli.errors import DataError
from mmtx_cli.inference.inputs import InputReader
from mmtx_cli.media.audio.array_decode import sound_seconds
from mmtx_cli.media.errors import NoVideoError
from mmtx_cli.media.image_reader import picture_kind
from mmtx_cli.media.video.facts import video_facts
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from mmtx_cli.server.limits import Limits, RefusedRequestError


class Decoders:
    """Processes that decode uploaded files: nothing of a file is decoded in the server itself."""

    def __init__(self, reader: InputReader, count: int, limits: Limits) -> None:
        """Start the processes.

        Args:
            reader: The reader of the model.
            count: Number of processes.
            limits: Limits of a request.
        """
        self.reader, self.limits = reader, limits
        media_limits = replace(reader.limits, isolated=True)
        self.all = [Media(reader.preparation, limits=media_limits) for _ in range(count)]
        self.free: queue.SimpleQueue[Media] = queue.SimpleQueue()
        for media in self.all:
            media.guard.run(os.path.exists, os.sep)  # from the main thread, with which it ends
            self.free.put(media)

    def read(self, path: str, text: str | None) -> Example:
        """Return a file as an example for the model; may be called from several threads.

        Args:
            path: The file.
            text: Text that the model reads with it.

        Raises:
            RefusedRequestError: if it cannot be decoded, or is too long.
        """
        media = self.free.get()
        try:
            self.check_duration(media.guard, path)
            example = self.reader.files([Piece(path)], ["0"], text, media)[0, 0]
        finally:
            self.free.put(media)
        if example.fault is not None:
            raise RefusedRequestError(422, example.fault["reason"])
        return example

    def check_duration(self, guard: IsolatedDecoder, path: str) -> None:
        """Raise RefusedRequestError if a video or audio is too long."""
        if picture_kind(guard, path) == "still":
            return
        try:
            try:
                seconds = guard.run(video_facts, path).duration
            except NoVideoError:
                seconds = guard.run(sound_seconds, path)
        except DataError:  # reported when it is decoded
            return
        if seconds > self.limits.media_seconds:
            raise RefusedRequestError(
                422,
                f"{seconds:.0f} s long; at most {self.limits.media_seconds:g} s; the server was "
                "started with max_seconds",
            )

    def close(self) -> None:
        """End the processes."""
        for media in self.all:
            media.guard.close()
