"""Going on with a run that was stopped: its own configuration rules."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.check import root_faults, section_faults
from mmtx_cli.command.run_folder import HIDDEN
from mmtx_cli.error import CheckpointError, ConfigError
from mmtx_cli.limits import at
from mmtx_cli.override import is_section_key
from mmtx_cli.relaunch import job_overrides
from mmtx_cli.settings import SECTIONS
from mmtx_cli.weights import read_config

FREE = ("trainer", "logger", "run_dir", "resume", "data.num_workers", "trusted_packages")
"""What may differ: how the run is carried out, not what it computes."""
COMPUTED = ("trainer.accumulate", "trainer.clip", "trainer.ema", "trainer.precision")
"""What of these may not: the steps would be others."""


def resumed(cfg: DictConfig) -> tuple[DictConfig, dict[str, Any]]:
    """The saved configuration of ``run_dir`` with what may differ taken from the command line.

    With it comes the config in the checkpoint, tokenizer included.

    Anything else on the command line must say what the saved configuration says. What is trusted
    is only ever said there: a run folder may be someone else's.
    """
    saved, last = saved_run(cfg)
    given: Any = OmegaConf.to_container(cfg, resolve=True)
    faults = [*root_faults(given), *section_faults(given)]
    if faults:
        raise ConfigError(*faults)
    kept: Any = OmegaConf.to_container(saved)
    for key in dict.fromkeys([*overridden(cfg), *hidden(kept)]):
        asked, had = value(given, key), value(kept, key)
        secret = is_hidden(had)
        free = (key in FREE or key.split(".")[0] in FREE) and key not in COMPUTED
        if free or (secret and asked is not None):
            OmegaConf.update(saved, key, asked)
        elif asked != had or secret:
            faults.append(difference(key, asked, had, cfg.run_dir))
    if faults:
        raise ConfigError(*faults)
    saved.run_dir, saved.resume, saved.trusted_packages = cfg.run_dir, True, cfg.trusted_packages
    return saved, read_config(str(last))


def difference(key: str, asked: Any, had: Any, run_dir: str) -> str:
    """Say in what the command line is not the run's."""
    if is_hidden(had):
        return f"{key}: config.yaml does not hold secrets; say it again on the command line"
    state = "does not set it" if had is None else f"has {had!r}"
    return (
        f"{key}={asked}: the run in {run_dir} {state}; to resume, leave it out; to change it, "
        "start a new run with ckpt="
    )


def saved_run(cfg: DictConfig) -> tuple[DictConfig, Path]:
    """The configuration in ``run_dir`` and its last checkpoint."""
    run_dir = Path(cfg.run_dir)
    last, path = run_dir / "checkpoints" / "last.ckpt", run_dir / "config.yaml"
    if not last.is_file() or not path.is_file():
        raise CheckpointError(
            f"run_dir={run_dir}: there is no checkpoints/last.ckpt to resume from; name the "
            "folder of the run to go on with: resume=true run_dir=RUN"
        )
    try:
        text = path.read_text(encoding="utf-8")
        saved = OmegaConf.create(text)
    except Exception as error:  # whatever the YAML reader finds
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if not isinstance(saved, DictConfig) or "command" not in saved or "${" in text:
        raise CheckpointError(f"{path}: not the configuration that mmtx wrote for a run")
    if saved.command != cfg.command:
        raise ConfigError(f"run_dir={run_dir}: go on with it by mmtx {saved.command} resume=true")
    return saved, last


def overridden(cfg: DictConfig) -> Iterator[str]:
    """Config paths that the command line names; of a choice, what it chose."""
    for override in job_overrides():
        key = override.lstrip("+~").partition("=")[0].partition("@")[0].replace("/", ".")
        node = OmegaConf.select(cfg, key)
        if is_section_key(override.lstrip("+~")):
            yield key
        elif key == "head":
            yield from (f"head.{name}._target_" for name in node or ())
        elif key in SECTIONS:
            yield from (f"{key}.{name}" for name in node or ())
        elif key == "fusion" or key.startswith("encoder."):
            yield f"{key}._target_" if node else key
        elif key != "experiment":
            yield key


def value(plain: Mapping[str, Any], key: str) -> Any:
    """The plain value at a config path; of the settings, the default where none is set."""
    section = key.split(".")[0]
    if section in SECTIONS:
        schema = OmegaConf.structured(SECTIONS[section])
        whole = OmegaConf.merge(schema, plain.get(section) or {})
        plain = {section: OmegaConf.to_container(whole)}
    return at(plain, key)


def hidden(node: Any, path: str = "") -> Iterator[str]:
    """Config paths of the secrets that were not written down."""
    if is_hidden(node):
        yield path
    for key, item in node.items() if isinstance(node, Mapping) else ():
        yield from hidden(item, f"{path}.{key}".lstrip("."))


def is_hidden(value: Any) -> bool:
    """Is it a text of which something was not written down?"""
    return isinstance(value, str) and HIDDEN in value
