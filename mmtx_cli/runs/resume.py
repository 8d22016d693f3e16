"""Resume a stopped run with its saved configuration."""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from mmtx_cli.config.constraints import select, within
from mmtx_cli.config.overrides import is_section_key
from mmtx_cli.config.schema import SECTIONS
from mmtx_cli.config.validate import root_faults, section_faults
from mmtx_cli.distributed.hydra_job import job_overrides
from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.io.checkpoint import read_config, tensor_names
from mmtx_cli.io.checkpoint_files.keep import checkpoint_files
from mmtx_cli.io.former_forms import restored
from mmtx_cli.io.former_names import renamed
from mmtx_cli.io.redact import HIDDEN, redacted
from mmtx_cli.io.sharded.folder import recovered
from mmtx_cli.io.untrusted.yaml_reader import check_yaml, read_yaml_text
from mmtx_cli.runs.fallback import intact_config
from mmtx_cli.runs.inherit import check_urls_given

CHANGEABLE = (
    "trainer",
    "logger",
    "run_dir",
    "resume",
    "allow_changed_data",
    "data.num_workers",
    "data.prefetch_factor",
    "data.persistent_workers",
    "data.pin_memory",
    "data.prefetch",
    "data.path",
    "data.root",
    "data.shard_cache",
    "data.shard_cache_size",
    "trusted_packages",
)
"""Keys that may differ when resuming: how the run is executed, not what it computes. Digests of the
rows detect whether a moved dataset is the same.
"""
LOCATIONS = ("data.path", "data.root")
"""Keys among ``CHANGEABLE`` that must be given again if they are redacted."""
COMPUTED = (
    "trainer.accumulate_grad_batches",
    "trainer.gradient_clip_val",
    "trainer.ema",
    "trainer.precision",
)
"""Keys among ``CHANGEABLE`` that may not differ, because they change the optimizer steps."""


AUTO = "auto"
_STAMP = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d/?$")
"""End of the default run folder."""
SHOWN = 3
"""Maximum number of differences that a message lists."""


def resume_config(cfg: DictConfig) -> tuple[DictConfig, dict[str, Any]]:
    """Return a run's saved configuration with the permitted changes, and the checkpoint's config.

    All keys on the command line outside of ``CHANGEABLE`` must equal the saved ones. Trusted
    packages are only taken from the command line, since the run folder may come from someone else.
    The checkpoint's config includes the tokenizer.

    Raises:
        ConfigError: if other keys differ, or redacted values are not given again.
        CheckpointError: if the run cannot be read, or the checkpoint is of another run.
    """
    saved, last = saved_run(cfg)
    given: Any = OmegaConf.to_container(cfg, resolve=True)
    faults = [*root_faults(given), *section_faults(given)]
    if faults:
        raise ConfigError(*faults)
    saved_plain: Any = OmegaConf.to_container(saved)
    keys = [*overridden(cfg)]
    roots = ("data.root", "data.mixture")
    same = [key for key in roots if value(given, key) == value(saved_plain, key)]
    check_urls_given(saved_plain.get("data") or {}, [*keys, *same], f"run_dir={cfg.run_dir}")
    for key in dict.fromkeys([*keys, *redacted_keys(saved_plain)]):
        requested, saved_value = value(given, key), value(saved_plain, key)
        secret = is_hidden(saved_value)
        free = (key in CHANGEABLE or key.split(".")[0] in CHANGEABLE) and key not in COMPUTED
        free &= key not in LOCATIONS or requested is not None
        if free or (secret and requested is not None):
            OmegaConf.update(saved, key, requested)
        elif requested != saved_value or secret:
            faults.append(difference_fault(key, requested, saved_value, cfg.run_dir))
    if faults:
        raise ConfigError(*faults)
    settings = run_settings(saved_plain)

    def checked(path: Path) -> dict[str, Any]:
        found = read_config(str(path))
        check_same_run(path, found.get("run") or {}, settings)
        return found

    config = intact_config(last, checked)
    old, new = value(saved_plain, "data.path"), saved.data.get("path")
    if (
        new != old and not is_hidden(old) and not config.get("rows")
    ):  # of an early version: nothing detects other rows
        raise ConfigError(difference_fault("data.path", new, old, cfg.run_dir))
    complete_early(saved, config, last)
    saved.run_dir, saved.resume, saved.trusted_packages = cfg.run_dir, True, cfg.trusted_packages
    saved.allow_changed_data = cfg.allow_changed_data
    return saved, config


def resumes(cfg: DictConfig) -> bool:
    """Return whether to resume a run; with ``resume=auto``, whether it has a checkpoint.

    Raises:
        ConfigError: if ``resume`` is none of true, false and auto, or auto without a ``run_dir``.
    """
    if isinstance(cfg.resume, bool) or cfg.resume is None:
        return bool(cfg.resume)
    if cfg.resume != AUTO:
        raise ConfigError(f"resume: {cfg.resume!r} is invalid; must be true, false or auto")
    if _STAMP.search(str(cfg.run_dir)):
        raise ConfigError(
            "resume=auto: the default run_dir is a new one each time; set run_dir=FOLDER"
        )
    return recovered(Path(cfg.run_dir) / "checkpoints" / "last.ckpt").exists()


def complete_early(saved: DictConfig, config: Mapping[str, Any], last: Path) -> None:
    """Write into a saved configuration what an early version left out of it.

    Until settings of the run were stored in checkpoints, ``data.length_bucketing`` was true by
    default.
    """
    if not config.get("early"):
        return
    with open_dict(saved):
        if saved.data.get("length_bucketing") is None:
            saved.data.length_bucketing = True
            print(
                f"{last}: written by an early version of mmtx; data.length_bucketing=true",
                file=sys.stderr,
            )
        plain: Any = OmegaConf.to_container(saved)
        saved.merge_with(restored(plain, tensor_names(str(last))))


def run_settings(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that determine a run's results, by config path, for the checkpoint."""
    flat = dict(leaves(redacted(plain)))
    free = {key for key in flat if any(within(key, free) for free in (*CHANGEABLE, "command"))}
    return {key: flat[key] for key in sorted(flat.keys() - (free - {*COMPUTED}))}


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield config paths and values of all leaves."""
    if not isinstance(node, Mapping):
        yield path, node
    else:
        for key, item in node.items():
            yield from leaves(item, f"{path}.{key}".lstrip("."))


def check_same_run(last: Path, stored: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Raise CheckpointError if a checkpoint was not made by the run that config.yaml describes.

    Keys that only one of them has are ignored: another version of mmtx may have added them.
    """
    differences = [
        f"{key} is {stored[key]!r} in the checkpoint, {current[key]!r} in config.yaml"
        for key in sorted(stored.keys() & current.keys())
        if stored[key] != current[key]
        and not is_hidden(stored[key])
        and not is_hidden(current[key])
    ]
    if differences:
        more = f", and {len(differences) - SHOWN} more differ" if len(differences) > SHOWN else ""
        raise CheckpointError(
            f"{last}: differs from {last.parents[1] / 'config.yaml'}: "
            f"{'; '.join(differences[:SHOWN])}{more}; restore the run's own checkpoint, or "
            "start a new run "
            "with its weights: ckpt="
        )


def difference_fault(key: str, requested: Any, saved: Any, run_dir: str) -> str:
    """Return the error message for a key that differs from the saved configuration.

    Args:
        key: Config path.
        requested: Value on the command line.
        saved: Saved value.
        run_dir: Run folder.
    """
    if is_hidden(saved):
        return f"{key}: secrets are not stored in config.yaml; set it again on the command line"
    state = "does not set it" if saved is None else f"has {saved!r}"
    return (
        f"{key}={requested}: the run in {run_dir} {state}; to resume, remove this key; to change "
        "it, start a new run with ckpt="
    )


def saved_run(cfg: DictConfig) -> tuple[DictConfig, Path]:
    """Return the configuration in ``run_dir`` and the path of its last checkpoint."""
    run_dir = Path(cfg.run_dir)
    last, path = run_dir / "checkpoints" / "last.ckpt", run_dir / "config.yaml"
    found = recovered(last).exists() or checkpoint_files(last.parent)
    if not path.is_file() or not found:
        raise CheckpointError(
            f"run_dir={run_dir}: no checkpoints/last.ckpt to resume from; set the "
            "folder of the run to resume: resume=true run_dir=RUN"
        )
    try:
        text = read_yaml_text(path)
        check_yaml(text)
        saved = OmegaConf.create(text)
    except Exception as error:  # any error of the YAML reader
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if not isinstance(saved, DictConfig) or "command" not in saved or "${" in text:
        raise CheckpointError(f"{path}: not a run configuration written by mmtx")
    if saved.command != cfg.command:
        raise ConfigError(f"run_dir={run_dir}: resume it with: mmtx {saved.command} resume=true")
    return OmegaConf.create(renamed(OmegaConf.to_container(saved))), last


def overridden(cfg: DictConfig) -> Iterator[str]:
    """Yield the config paths set on the command line; for a chosen component, those it sets."""
    for override in job_overrides():
        key = override.lstrip("+~").partition("=")[0].partition("@")[0].replace("/", ".")
        # a published model is the decoder
        key = f"decoder{key[3:]}" if key.split(".")[0] == "vlm" else key
        node = OmegaConf.select(cfg, key)
        if is_section_key(override.lstrip("+~")):
            yield key
        elif key == "head":
            yield from (f"head.{name}._target_" for name in node or ())
        elif key in SECTIONS:
            yield from (f"{key}.{name}" for name in node or ())
        elif key in ("fusion", "connector", "decoder") or key.startswith("encoder."):
            yield f"{key}._target_" if node else key
        elif key != "experiment":
            yield key


def value(plain: Mapping[str, Any], key: str) -> Any:
    """Return the plain value at a config path; for settings, the default if it is not set."""
    section = key.split(".")[0]
    if section in SECTIONS:
        schema = OmegaConf.structured(SECTIONS[section])
        whole = OmegaConf.merge(schema, plain.get(section) or {})
        plain = {section: OmegaConf.to_container(whole)}
    return select(plain, key)


def redacted_keys(node: Any, path: str = "") -> Iterator[str]:
    """Yield the config paths of redacted values."""
    if is_hidden(node):
        yield path
    for key, item in node.items() if isinstance(node, Mapping) else ():
        yield from redacted_keys(item, f"{path}.{key}".lstrip("."))


def is_hidden(value: Any) -> bool:
    """Return True if a value is a string with a redacted part."""
    return isinstance(value, str) and HIDDEN in value
