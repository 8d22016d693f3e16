"""The settings of a request, in its query string."""

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from starlette.datastructures import QueryParams

from mmtx_cli.server.limits import RefusedRequestError

OTHERS = ("text", "name", "seed", "explain")
"""Keys besides the settings of the generation."""
LONGEST_VALUE, LONGEST_TEXT = 100, 10_000
MOST_ROWS = 16
"""Largest number of beams and texts of a request: they take memory and time."""
NAME = "upload"
"""Name of a file without one."""


@dataclass(frozen=True)
class Settings:
    """What a request asks for.

    Args:
        name: Name of the file, without folder.
        text: Text that the model reads with it.
        seed: Seed of sampled texts, or None.
        explain: Whether to return the heat map of each word.
        generation: Settings of the generation as they are written, not validated yet.
    """

    name: str
    text: str | None
    seed: int | None
    explain: bool
    generation: tuple[tuple[str, str], ...]


def settings_of(query: QueryParams) -> Settings:
    """Return the settings in a query string.

    Raises:
        RefusedRequestError: if a key is repeated, or a value is too long or of the wrong type.
    """
    items = query.multi_items()
    keys = [key for key, _ in items]
    if repeated := sorted({key for key in keys if keys.count(key) > 1}):
        raise RefusedRequestError(400, *(f"{key[:100]}: given more than once" for key in repeated))
    values = dict(items)
    for key, value in values.items():
        most = LONGEST_TEXT if key == "text" else LONGEST_VALUE * (1 + 9 * (key == "name"))
        if len(value) > most or len(key) > LONGEST_VALUE:
            raise RefusedRequestError(400, f"{key[:LONGEST_VALUE]}: longer than {most} characters")
    seed, explain = plain(values.get("seed")), plain(values.get("explain"))
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise RefusedRequestError(400, f"seed: {values['seed']!r} is not an integer")
    if explain not in (None, True, False):
        raise RefusedRequestError(400, f"explain: {values['explain']!r} is not true or false")
    generation = {key: value for key, value in values.items() if key not in OTHERS}
    if "regex" in generation:  # may take seconds and gigabytes to prepare
        raise RefusedRequestError(
            400, "regex: not available in a request; start the server with it"
        )
    for key in ("num_beams", "num_return_sequences"):
        rows = plain(generation.get(key))
        if isinstance(rows, int) and rows > MOST_ROWS:
            raise RefusedRequestError(400, f"{key}={rows}: at most {MOST_ROWS} in a request")
    name = PurePosixPath(values.get("name", "").replace("\\", "/")).name or NAME
    text = values.get("text") or None
    return Settings(name, text, seed, bool(explain), tuple(sorted(generation.items())))


def plain(value: str | None) -> Any:
    """Return a value as the number, boolean or None that it is in JSON, else as text."""
    if value is None:
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
