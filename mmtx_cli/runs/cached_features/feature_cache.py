"""Feature cache of a run (``data.cache``), and whether it matches what the run would compute."""

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtx_cli.config.conf_tree import CONFIG_DIR, config_dirs, split_args
from mmtx_cli.config.constraints import entries, select
from mmtx_cli.config.cross_checks import CACHING, TRAINING
from mmtx_cli.config.overrides import as_typed
from mmtx_cli.config.preprocessing import ROOT_KEYS
from mmtx_cli.data.cache.card import BODY, cards
from mmtx_cli.errors import ConfigError
from mmtx_cli.runs.cached_features.cache_cards import encoder_card, teacher_card
from mmtx_cli.runs.cached_features.cached_backbone import (
    is_in_freeze,
    is_trained_body,
    keeps_body,
    trained_body_fault,
)

if TYPE_CHECKING:
    from mmtx_cli.data.cache.entries import Cache
    from mmtx_cli.data.corpus import Corpus

CACHE_KEYS = (
    *ROOT_KEYS,
    "dim",
    "seed",
    "ckpt",
    "experiment",
    "head",
    "trusted_packages",
    "encoder",
)
"""Root keys of a command line that, besides the data, determine the contents of a cache."""
DTYPE = "float32"
"""Default data type of cached features (``mmtx data action=cache``)."""
READ_ONLY = (
    "cache",
    "augment",
    "batch_size",
    "eval_batch_size",
    "modality_dropout",
    "modality_dropout_by",
    "length_bucketing",
    "captions_per_sample",
)
"""Keys of ``data`` that do not affect the contents of a cache."""


def cache_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield the reasons why a run cannot use ``data.cache``; imports nothing heavy.

    Raises DataError if a card of the cache cannot be read.
    """
    folder = select(cfg, "data.cache")
    if not isinstance(folder, str) or cfg.get("command") == CACHING:
        return
    cached = cards(Path(folder))
    if not cached:
        yield f"data.cache={folder}: contains no cache; create it: {cache_command(cfg, folder)}"
        return
    used = [part for part in parts_of(cfg) if part in cached]
    if not used:
        yield (
            f"data.cache={folder}: contains {', '.join(cached)}, which this model does not have; "
            f"remove data.cache, or recreate it: {cache_command(cfg, folder)}"
        )
    for part in used:
        if part + BODY in used:
            yield (
                f"data.cache={folder}: contains both {part} and {part}{BODY}; keep only one of "
                "them in this folder"
            )
    if cfg.get("command") not in TRAINING:
        return
    frozen = cfg.get("freeze") or []
    for part in used:
        if part.endswith(BODY):
            encoder = part.removesuffix(BODY)
            # the default of ``freeze`` is only known once the encoder is built
            if select(cfg, f"{encoder}.freeze") not in (None, True) and not is_in_freeze(
                encoder, cfg
            ):
                yield trained_body_fault(part, folder)
        elif part.startswith("encoder.") and not {"encoder", part} & {*map(str, frozen)}:
            yield (
                f"{part}: its outputs are cached in data.cache={folder}, so it cannot be trained; "
                f"set freeze=[{part}], or remove data.cache"
            )
    visual = [part for part in used if cached[part].modality in ("image", "video")]
    if augments(cfg) and visual:
        yield (
            f"data.augment: changes images at random, but data.cache={folder} contains the "
            f"features of {visual[0]} for one version of each; remove one of the two"
        )


def parts_of(cfg: Mapping[str, Any]) -> list[str]:
    """Return the modules with cacheable outputs: encoders, their bodies, and unimodal teachers."""
    chosen = {name: node for name, node in entries(cfg, "encoder") if node}
    encoders = [f"encoder.{name}" for name in chosen]
    bodies = [f"encoder.{name}{BODY}" for name, node in chosen.items() if keeps_body(node)]
    return [*encoders, *bodies] + [
        f"head.{name}.teacher"
        for name, node in entries(cfg, "head")
        if node and node.get("teacher") and node.get("modality")
    ]


def augments(cfg: Mapping[str, Any]) -> bool:
    """Return True if training images are augmented."""
    settings = select(cfg, "data.augment") or {}
    scale = settings.get("scale") or [1.0, 1.0]
    return bool(list(scale) != [1.0, 1.0] or settings.get("flip") or settings.get("color"))


def open_cache(cfg: Mapping[str, Any]) -> "Cache | None":
    """Return the cache that a run reads, None if it reads none."""
    from mmtx_cli.data.cache.entries import Cache
    from mmtx_cli.data.cache.module_outputs import open_parts

    folder = select(cfg, "data.cache")
    if folder is None:
        return None
    return Cache(Path(folder), open_parts(Path(folder)), cache_command(cfg, folder))


def check_cache(
    model: Any,
    nodes: Mapping[str, Any],
    state: Mapping[str, Any],
    corpus: "Corpus",
    cfg: Mapping[str, Any],
) -> None:
    """Check that the cache was made with the same encoders, teachers and preprocessing.

    Args:
        model: The model.
        nodes: Plain configuration of each encoder.
        state: The model's weights as they will be used.
        corpus: The data, with the cache.
        cfg: The configuration.

    Raises:
        ConfigError: naming every difference, or every part that needs raw input or is trained.
    """
    if corpus.cache is None:
        return
    folder, parts = corpus.cache.folder, corpus.cache.parts
    faults = [
        f"head.{name}: reads the raw {raw} input, but data.cache={folder} contains only the "
        f"features of encoder.{raw}; remove data.cache or the head"
        for name, head in model.head.items()
        for raw in head.raw_modalities
        if {f"encoder.{raw}", f"encoder.{raw}{BODY}"} & {*parts}
    ]
    faults += [
        trained_body_fault(f"encoder.{name}{BODY}", folder)
        for name, encoder in model.encoder.items()
        if f"encoder.{name}{BODY}" in parts
        and cfg.get("command") in TRAINING
        and not is_in_freeze(f"encoder.{name}", cfg)
        and is_trained_body(encoder)
    ]
    if faults:
        raise ConfigError(*faults)
    current = {}
    for name, encoder in model.encoder.items():
        for part in [part for part in parts if part.removesuffix(BODY) == f"encoder.{name}"]:
            current[part] = encoder_card(part, encoder, nodes[name], state, corpus, cfg, "")
    for name, head in model.head.items():
        if (part := f"head.{name}.teacher") in parts and getattr(head, "teacher", None):
            current[part] = teacher_card(part, head.modality, head.teacher.model, corpus, cfg, "")
    faults = [
        f"data.cache={folder}: {part}: {difference}"
        for part, card in current.items()
        for difference in parts[part].card.differences(card)
    ]
    if faults:
        hint = f"recreate it: {corpus.cache.remedy} overwrite=true"
        raise ConfigError(*faults[:-1], f"{faults[-1]}; {hint}")


def cache_command(cfg: Mapping[str, Any], folder: str) -> str:
    """Return the command that creates the cache of this run."""
    heads = select(cfg, "data.mixture") or any(part.startswith("head.") for part in parts_of(cfg))
    args = original_args(cfg)
    kept = [
        arg
        for arg in map(as_typed, split_args(args)[1])
        if affects_cache(arg) and (heads or not arg.startswith("head"))
    ]
    overrides = [f"out={folder}", *kept]
    frozen = [f"freeze=[{','.join(map(str, f))}]"] if (f := cfg.get("freeze")) else []
    # recreate the cached modules that this run uses, with the same data type
    cached = cards(Path(folder))
    used = [part for part in parts_of(cfg) if part in cached]
    parts = [f"modules=[{','.join(used)}]"] if used else []
    dtypes = {cached[part].dtype for part in used}
    dtype = [f"dtype={name}" for name in dtypes] if len(dtypes) == 1 and dtypes != {DTYPE} else []
    dirs = [word for path in config_dirs(args)[1:] for word in (CONFIG_DIR[0], str(path))]
    command = ["mmtx", "data", "action=cache", *dirs, *overrides, *frozen, *parts, *dtype]
    return shlex.join(command)


def original_args(cfg: Mapping[str, Any]) -> list[str]:
    """Return the command-line arguments of this run; of a resumed run, its original ones."""
    if cfg.get("resume"):
        path = Path(str(cfg["run_dir"])) / "environment.json"
        try:
            return shlex.split(json.loads(path.read_text(encoding="utf-8"))["command"])[2:]
        except (OSError, ValueError, KeyError):
            return []
    return sys.argv[2:]


def affects_cache(arg: str) -> bool:
    """Return True if an argument affects the contents of a cache."""
    key = arg.lstrip("+~").partition("=")[0]
    root, _, rest = key.replace("/", ".").partition(".")
    return root in CACHE_KEYS or (root == "data" and rest.split(".")[0] not in READ_ONLY)
