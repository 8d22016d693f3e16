"""Read the answers that ``generation.choices=@FILE`` names."""

import os
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf

from mmtx_cli.errors import ConfigError
from mmtx_cli.io.untrusted.bounded_file import RefusedFileError, read_text

LARGEST_LIST = 16 * 2**20


def read_choices(cfg: DictConfig) -> None:
    """Replace ``@FILE`` in ``generation.choices`` by the lines of the file, in place.

    Raises:
        ConfigError: If a file cannot be read or is empty.
    """
    for key in ("include", "exclude", "choices"):
        check_literal(key, (cfg.get("generation") or {}).get(key))
    found = (cfg.get("generation") or {}).get("choices")
    if not isinstance(found, (str, ListConfig)):
        return
    each = [found] if isinstance(found, str) else list(found)
    if not any(isinstance(item, str) and item.startswith("@") for item in each):
        return
    lines: list[object] = []
    for item in each:
        is_file = isinstance(item, str) and item.startswith("@")
        lines += file_lines(Path(os.path.expanduser(item[1:]))) if is_file else [item]
    OmegaConf.update(cfg, "generation.choices", list(dict.fromkeys(lines)), force_add=True)


def check_literal(key: str, texts: object) -> None:
    """Raise ConfigError if a text means a missing value in a configuration."""
    if isinstance(texts, ListConfig) and any(
        OmegaConf.is_missing(texts, i) for i in range(len(texts))
    ):
        raise ConfigError(f"generation.{key}: '???' means a missing value; remove it")


def file_lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty."""
    try:
        text = read_text(path, LARGEST_LIST).removeprefix("\ufeff")
    except (OSError, RefusedFileError) as error:
        raise ConfigError(f"generation.choices: @{path}: cannot be read: {error}") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() == "???" or "${" in line:
            raise ConfigError(
                f"generation.choices: {path}:{number}: {line.strip()!r} has a meaning in "
                "configurations (${…}, ???); remove it"
            )
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        raise ConfigError(f"generation.choices: @{path}: no answers; write one per line")
    return lines
