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
MOST_WORDS = 3
"""Largest number of required words: preparing more takes seconds."""
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
    for key in ("include", "exclude", "choices"):
        texts = plain(generation.get(key))
        if texts is not None and not isinstance(texts, list):
            raise RefusedRequestError(400, f'{key}: must be a JSON list of texts, e.g. {key}=["a"]')
    if len(plain(generation.get("include")) or []) > MOST_WORDS:
        raise RefusedRequestError(400, f"include: at most {MOST_WORDS} words in a request")
    if "regex" in generation:  # may take seconds and gigabytes to prepare
        raise RefusedRequestError(
            400, "regex: not available in a request; start the server with it"
        )
    rows = ("num_beams", "num_return_sequences", *["top_k"] * ("penalty_alpha" in generation))
    for key in rows:
        number = plain(generation.get(key))
        if isinstance(number, int) and number > MOST_ROWS:
            raise RefusedRequestError(400, f"{key}={number}: at most {MOST_ROWS} in a request")
    if explain:  # heat maps belong to words
        generation["token_scores"] = "true"  # nosec B105
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
