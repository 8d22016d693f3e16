"""All checks of a configuration that need neither PyTorch nor the data, reported together."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmtx_cli.config.validate import check
from mmtx_cli.data.manifest.table_file import check_exists
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.runs.cached_features.feature_cache import cache_faults


def check_all(plain: Mapping[str, Any]) -> None:
    """Raise ConfigError with all errors of the configuration, manifests, cache and accelerator.

    PyTorch is only imported if the accelerator is a GPU.
    """
    faults: list[str] = []
    try:
        check(plain)
    except ConfigError as error:
        faults += error.faults
    try:
        for path in manifests(plain.get("data")):
            check_exists(Path(path))
        faults += cache_faults(plain)
    except DataError as error:
        faults += error.faults
    faults += accelerator_faults(plain)
    if faults:
        raise ConfigError(*faults)


def accelerator_faults(plain: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors of the accelerator; imports PyTorch only if a GPU is requested."""
    name = (plain.get("trainer") or {}).get("accelerator")
    if name in ("gpu", "cuda", "mps"):
        from mmtx_cli.distributed.launch import check_accelerator

        try:
            check_accelerator(name)
        except ConfigError as error:
            yield from error.faults


def manifests(data: Any) -> Iterator[str]:
    """Yield the path of the manifest, or those of a mixture."""
    if isinstance(data, Mapping):
        for section in (data, *(data.get("mixture") or ())):
            if isinstance(section, Mapping) and isinstance(section.get("path"), str):
                yield section["path"]
