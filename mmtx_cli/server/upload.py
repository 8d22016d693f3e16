"""Receive the body of a request into a temporary file, never more than the limit."""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

from starlette.requests import ClientDisconnect, Request

from mmtx_cli.media.suffixes import FOREIGN_IMAGES, SUFFIXES
from mmtx_cli.server.limits import MEGABYTE, Limits, RefusedRequestError

KNOWN = {*FOREIGN_IMAGES, *(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)}
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


def check_headers(headers: Mapping[str, str], limits: Limits) -> None:
    """Check a request before its body is read.

    Raises:
        RefusedRequestError: if it announces more than the limit, or no file.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in FORMS:
        raise RefusedRequestError(
            415,
            f"a form ({kind}); send the file itself as the body, e.g. curl --data-binary @FILE -H "
            "'Content-Type: application/octet-stream'",
            close=True,
        )
    length = headers.get("content-length")
    if length is None:
        return  # counted when it arrives
    if not re.fullmatch(r"\d{1,18}", length):
        raise RefusedRequestError(400, "Content-Length: not a number of bytes", close=True)
    if int(length) > limits.upload_bytes:
        raise too_large(limits)
    if int(length) == 0:
        raise RefusedRequestError(400, "the body is empty; send a file as the body")


def too_large(limits: Limits) -> RefusedRequestError:
    """Return the answer to a file above the limit."""
    most = f"{limits.upload_bytes / MEGABYTE:g} MB"
    fault = f"the file is larger than {most}; the server was started with max_upload_mb"
    return RefusedRequestError(413, fault, close=True)


@asynccontextmanager
async def received(
    request: Request, folder: Path, name: str, limits: Limits
) -> AsyncIterator[Path]:
    """Yield the path of the body of a request in ``folder``, which is deleted afterwards.

    Args:
        request: The request.
        folder: Folder of the temporary files.
        name: Name that the client gives the file, of which a known suffix is kept.
        limits: Its limits.

    Raises:
        RefusedRequestError: if it is too large, too slow, empty or broken off.
    """
    check_headers(request.headers, limits)
    suffix = PurePosixPath(name).suffix.lower()
    number, path = tempfile.mkstemp(suffix if suffix in KNOWN else "", "upload-", folder)
    try:
        with os.fdopen(number, "wb") as file:
            count = 0
            try:
                async with asyncio.timeout(limits.upload_seconds):
                    async for part in request.stream():
                        count += len(part)
                        if count > limits.upload_bytes:
                            raise too_large(limits)
                        file.write(part)
            except TimeoutError as error:
                fault = f"the file did not arrive within {limits.upload_seconds:g} s"
                raise RefusedRequestError(408, fault, close=True) from error
            except ClientDisconnect as error:
                fault = "the connection was closed before the file was complete"
                raise RefusedRequestError(400, fault, close=True) from error
        if not count:
            raise RefusedRequestError(400, "the body is empty; send a file as the body")
        yield Path(path)
    finally:
        os.unlink(path)
