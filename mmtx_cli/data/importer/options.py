"""Settings of ``mmtx data``: required keys, and keys that take paths and switches."""

from collections.abc import Iterable, Iterator
from typing import Any

from mmtx_cli.config.conf_tree import (
    MISSING,
    ROOT_GROUPS,
    choices,
    default_groups,
    files,
    shipped,
)
from mmtx_cli.config.help.components import format_value
from mmtx_cli.config.help.yaml_comments import example
from mmtx_cli.config.unknown_keys import check_known_keys
from mmtx_cli.errors import ConfigError
from mmtx_cli.suggest import suggest

Settings = dict[str, Any]

PATHS = {"out", "manifest", "root", "captions", "source"}
"""Keys that take one file or folder."""
SWITCHES = {"decode", "quoting", "allow_outside_root", "shuffle", "checksums"}
"""Boolean keys."""
PATHS_BY_SPLIT = {"images", "annotations", "questions"}
"""Keys that take one path, or one path per split."""


def checked_settings(settings: Any, command: str) -> Settings:
    """Return the settings of an action of ``mmtx data``, with paths as text.

    Raises:
        ConfigError: with keys that are unknown or of another type, or missing.
    """
    for group in [group for group in default_groups(command) if group in ROOT_GROUPS]:
        if settings.get(group) not in choices(group):
            near = suggest(str(settings.get(group)), choices(group))
            raise ConfigError(f"{group}={settings.get(group)}: unknown option; {near}")
    check_known_keys(settings, command, {"path": "manifest"})
    if faults := list(value_faults(settings)):
        raise ConfigError(*faults)
    workers = settings.get("workers")
    if workers is not None and (type(workers) is not int or workers < 1):
        raise ConfigError(f"workers={workers}: must be an integer of at least 1, e.g. workers=4")
    chosen = [f"{group}/{settings[group]}" for group in ROOT_GROUPS if group in settings]
    defaults = {
        key: value for name in (*files(command), *chosen) for key, value in shipped(name).items()
    }
    # a missing task is reported by the data set, which lists its tasks
    required = [key for key in settings if defaults.get(key) == MISSING and key != "task"]
    require(settings, required, *chosen, command)
    return settings


def value_faults(settings: Settings) -> Iterator[str]:
    """Yield faults for path keys whose value is not a path, and switches that are not boolean.

    Numbers are converted to text in place, since YAML reads a folder named 2024 as a number.
    """
    for key in [key for key in settings if key in PATHS]:
        settings[key] = _text(settings[key])
        if not isinstance(settings[key], str | None):
            yield f"{key}={format_value(settings[key])}: must be one path, e.g. {key}=PATH"
    for key in [key for key in settings if key in {*PATHS_BY_SPLIT, "splits"}]:
        value = settings[key]
        if key == "splits" and value is not None and not isinstance(value, dict):
            said = "must be an image list per split, e.g. splits.train=FILE"
            yield f"splits={format_value(value)}: {said}"
        elif isinstance(value, dict):
            settings[key] = value = {split: _text(path) for split, path in value.items()}
            for split, path in value.items():
                if not isinstance(path, str | None):
                    name = f"{key}.{split}"
                    yield f"{name}={format_value(path)}: must be one path, e.g. {name}=PATH"
        else:
            settings[key] = value = _text(value)
            if not isinstance(value, str | None):
                yield (
                    f"{key}={format_value(value)}: must be one path, e.g. {key}=PATH, or "
                    "one per split, "
                    f"e.g. '{key}={{train: PATH, val: PATH}}'"
                )
    for key in [key for key in settings if key in SWITCHES]:
        if not isinstance(settings[key], bool):
            yield f"{key}={format_value(settings[key])}: must be true or false"


def _text(value: Any) -> Any:
    return str(value) if type(value) in (int, float) else value


def require(settings: Settings, keys: Iterable[str], *what: str) -> None:
    """Raise ConfigError if any of the keys is missing, with the first file's example command."""
    missing = [key for key in keys if settings[key] in (None, "", {}, MISSING)]
    if missing:
        raise ConfigError(f"missing: {', '.join(f'{key}=…' for key in missing)}{example(what[0])}")
