"""The folder of a run: its configuration, its environment, its result."""

import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmtx_cli import __version__
from mmtx_cli.weights import replaced

SECRET_KEY = re.compile(r"(^|_)(api_?key|token|secret|password|passwd|credentials?)$", re.I)
USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
HIDDEN = "***"
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "tokenizers", "pillow")


def is_first_process() -> bool:
    """Does this process write what one process writes?"""
    return os.environ.get("RANK", "0") == "0" and os.environ.get("LOCAL_RANK", "0") == "0"


def open_run(cfg: DictConfig) -> Path:
    """Make the folder and write what the run is; secrets never reach the disk."""
    run_dir = Path(cfg.run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    if is_first_process():
        plain = OmegaConf.to_container(cfg, resolve=True)
        with replaced(run_dir / "config.yaml") as temporary:
            OmegaConf.save(OmegaConf.create(redacted(plain)), temporary)
        write_json(run_dir / "environment.json", environment())
    return run_dir


def redacted(value: Any, key: str = "") -> Any:
    """Hide values of secret-looking keys, secrets out of the environment, and passwords in URLs."""
    if isinstance(value, Mapping):
        return {k: redacted(v, str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [redacted(v, key) for v in value]
    if value is None or isinstance(value, bool) or (value and SECRET_KEY.search(key)):
        return HIDDEN if value and SECRET_KEY.search(key) else value
    if isinstance(value, str):
        return HIDDEN if value in secrets() else USER_INFO.sub(f"{HIDDEN}@", value)
    return value


def secrets() -> set[str]:
    """Values of environment variables whose names speak of secrets."""
    return {v for k, v in os.environ.items() if len(v) > 5 and SECRET_KEY.search(k)}


def environment() -> dict[str, Any]:
    """What the run ran on."""
    found: dict[str, Any] = {
        "mmtx": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "command": redacted_command(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def redacted_command() -> str:
    """The command line without its secrets."""
    words = []
    for arg in sys.argv[1:]:
        key, equals, value = arg.partition("=")
        words.append(f"{key}={redacted(value, key.split('.')[-1])}" if equals else arg)
    return " ".join(["mmtx", *words])


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole."""
    with replaced(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
