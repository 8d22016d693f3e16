"""Run folder: configuration, environment and locking."""

import os
import platform
import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from omegaconf import OmegaConf

from mmtx_cli import __version__
from mmtx_cli.distributed.ranks import is_first_process
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.atomic import LOCK, appending, atomic_write, remove_leftovers, write_json
from mmtx_cli.io.checkpoint_files.keep import checkpoint_files
from mmtx_cli.io.file_errors import reason
from mmtx_cli.io.redact import redacted, redacted_text

PACKAGES = (
    *("torch", "torchvision", "pytorch-lightning", "onnxruntime"),
    *("hydra-core", "tokenizers", "pillow"),
)
RESULTS = ("result.json", "captions.jsonl")
CAPTION_PLAN = Path(".captions", "plan.json")
"""Plan of an unfinished ``mmtx caption``."""
LOCKED: dict[str, IO[str]] = {}
"""Run folders that this process has locked."""


def check_not_trained(plain: Mapping[str, Any]) -> None:
    """Raise ConfigError if the run folder already contains a trained model or a result."""
    run_dir = Path(plain["run_dir"])
    if not is_first_process() or plain.get("resume"):
        return
    saves = run_dir / "checkpoints"
    if (saves / "last.ckpt").exists() or checkpoint_files(saves):
        raise ConfigError(
            f"run_dir={run_dir}: already contains a trained model; use another folder, "
            "or resume that run with resume=true"
        )
    if plain.get("command") == "caption" and (run_dir / CAPTION_PLAN).is_file():
        return  # it was killed while it finished
    if any((run_dir / name).is_file() for name in RESULTS):
        raise ConfigError(f"run_dir={run_dir}: already contains a result; use another folder")


def lock(run_dir: Path, key: str = "run_dir") -> None:
    """Lock a folder until this process ends, and remove temporary files of killed processes.

    ``key`` is the config key that names the folder.

    Raises:
        ConfigError: if a running process has locked it.
    """
    try:
        import fcntl
    except ImportError:  # not available on Windows
        return
    path = str(run_dir / LOCK)
    if path in LOCKED:
        return
    file = appending(Path(path))  # held until the process ends
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise ConfigError(
            f"{key}={run_dir}: is in use by another run; wait for it to finish, stop it, or "
            "use another folder"
        ) from error
    except OSError:  # the file system does not support locks
        file.close()
        return
    LOCKED[path] = file
    os.register_at_fork(after_in_child=file.close)  # an orphaned worker must not hold it
    remove_leftovers(run_dir)


def open_run(plain: Mapping[str, Any], video_decoder: str | None = None) -> Path:
    """Create the run folder and write the configuration and environment, without secrets.

    ``video_decoder`` is the decoder of a model that cannot choose one.
    """
    run_dir = Path(plain["run_dir"])
    check_not_trained(plain)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        if is_first_process():
            lock(run_dir)
            write_run(run_dir, plain, video_decoder)
    except OSError as error:
        raise ConfigError(f"run_dir={run_dir}: cannot be written: {reason(error)}") from error
    return run_dir


def write_run(run_dir: Path, plain: Mapping[str, Any], video_decoder: str | None = None) -> None:
    """Write the configuration and the environment."""
    with atomic_write(run_dir / "config.yaml") as temporary:
        OmegaConf.save(OmegaConf.create(redacted(plain)), temporary)
    video = bool((plain.get("encoder") or {}).get("video"))
    write_json(run_dir / "environment.json", environment(video, video_decoder))


def environment(video: bool = False, video_decoder: str | None = None) -> dict[str, Any]:
    """Return versions, platform and command of the run; with ``video`` also the video decoder."""
    info: dict[str, Any] = {
        "mmtx": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "command": redacted_command(),
    }
    for package in PACKAGES:
        try:
            info[package] = version(package)
        except PackageNotFoundError:
            info[package] = None
    if video:  # load the decoder only if the model reads video
        from mmtx_cli.media.backend import backend_name

        info["video decoder"] = video_decoder or backend_name()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        info["gpu"] = torch.cuda.get_device_name()
    return info


def redacted_command() -> str:
    """Return the command line without secrets."""
    words = []
    for arg in sys.argv[1:]:
        key, equals, value = arg.partition("=")
        plain = f"{key}={redacted(value, key.split('.')[-1])}" if equals else redacted_text(arg)
        words.append(plain)
    return shlex.join(["mmtx", *words])
