"""Constraints on config values beyond their types: numeric bounds and allowed words."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

BOUNDS: dict[str, tuple[float | int, float | int]] = {
    "seed": (0, 2**63 - 1),
    "dim": (1, 1e9),
    "image_size": (1, 1e5),
    "max_length": (2, 1e6),
    "num_frames": (1, 1e5),
    "sample_rate": (100, 1e6),
    "audio_seconds": (0.01, 1e6),
    "max_feature_length": (1, 1e6),
    "segment_seconds": (0.1, 1e9),
    "explain_limit": (1, 1e9),
    "top": (1, 1e9),
    "bootstrap": (1, 1e9),
    "port": (0, 65535),
    "max_upload_mb": (1e-3, 1e6),
    "max_seconds": (0.1, 1e6),
    "upload_timeout": (0.1, 1e6),
    "request_timeout": (0.1, 1e6),
    "max_requests": (1, 1e4),
    "decoders": (1, 64),
    "batch_window": (0, 10),
    "data.temperature": (1e-3, 1e6),
    "data.fps": (1e-6, 1e6),
    "data.decode_timeout": (0.1, 1e6),
    "data.decode_memory": (0.1, 1e6),
    "data.max_image_pixels": (1, 1e12),
    "data.captions_per_sample": (1, 1e6),
    "data.modality_dropout": (0, 1),
    "data.modality_dropout_by": (0, 1),
    "data.augment.scale": (0, 1),
    "data.augment.color": (0, 1e3),
    "data.batch_size": (1, 1e9),
    "data.eval_batch_size": (1, 1e9),
    "data.tokenizer_vocab_size": (1, 1e9),
    "data.num_workers": (0, 1e4),
    "data.prefetch_factor": (1, 1e4),
    "data.prefetch": (0, 1e3),
    "data.max_patches": (1, 65536),
    "data.token_budget": (1, 1e12),
    "data.batch_multiple": (1, 1e6),
    "data.shard_window": (1, 1e6),
    "data.shard_cache_size": (1e-6, 1e9),
    "data.limit_samples": (1, 1e12),
    "data.max_unreadable_fraction": (0, 1),
    "optimizer.lr": (0, 1e6),
    "optimizer.weight_decay": (0, 1e6),
    "optimizer.betas": (0, 1 - 1e-9),
    "optimizer.eps": (0, 1),
    "optimizer.warmup": (0, 1e12),
    "optimizer.min_lr": (0, 1),
    "trainer.max_epochs": (1, 1e9),
    "trainer.max_steps": (1, 1e12),
    "trainer.num_nodes": (1, 1e6),
    "trainer.join_timeout": (1, 1e6),
    "optimizer.cycles": (1, 1e6),
    "trainer.accumulate_grad_batches": (1, 1e9),
    "trainer.encoder_micro_batch": (1, 1e9),
    "trainer.max_skipped_steps": (0, 1e9),
    "trainer.loss_spike_factor": (1, 1e12),
    "trainer.gradient_clip_val": (0, 1e12),
    "trainer.ema": (0, 1),
    "trainer.val_every": (1, 1e12),
    "trainer.save_every": (1, 1e12),
    "trainer.keep_checkpoints": (1, 1000),
    "trainer.keep_every": (1, 1e12),
    "trainer.log_every": (1, 1e12),
    "trainer.profile_steps": (1, 1000),
    "trainer.early_stopping.patience": (1, 1e9),
    "generation.num_beams": (1, 1e4),
    "generation.length_penalty": (0, 5),
    "generation.num_beam_groups": (1, 1e4),
    "generation.diversity_penalty": (0, 1e6),
    "generation.temperature": (1e-4, 1e4),
    "generation.top_k": (1, 1e9),
    "generation.top_p": (1e-6, 1),
    "generation.min_p": (0, 1),
    "generation.penalty_alpha": (0, 1),
    "generation.repetition_penalty": (1e-4, 1e4),
    "generation.no_repeat_ngram_size": (0, 1e6),
    "generation.min_new_tokens": (0, 1e6),
    "generation.max_new_tokens": (1, 1e6),
    "generation.num_return_sequences": (1, 1e4),
}
"""Minimum and maximum by config path; for a list, of each of its numbers."""

ARGUMENT_BOUNDS: dict[str, tuple[float | int, float | int]] = {
    **dict.fromkeys(("depth", "lora", "time_masks", "freq_masks"), (0, 1e4)),
    **dict.fromkeys(
        (
            "width",
            "num_heads",
            "patch_size",
            "grid_size",
            "stride",
            "tubelet_size",
            "tokens_per_frame",
            "num_mels",
            "pool",
            "num_latents",
            "num_bottlenecks",
            "rank",
            "embed_dim",
            "teacher_width",
            "body_width",
            "body_depth",
            "body_heads",
            "body_channels",
            "k",
            "num_samples",
        ),
        (1, 1e6),
    ),
    **dict.fromkeys(("dropout", "drop_path", "label_smoothing", "word_dropout"), (0, 0.99)),
    **dict.fromkeys(("mask_ratio", "decay", "label_weight"), (0, 1)),
    "mlp_ratio": (0.01, 1e3),
    **dict.fromkeys(("weight", "kl", "cross_entropy"), (0, 1e9)),
    "temperature": (1e-4, 1e4),
}
"""Minimum and maximum of arguments of mmtx's encoders, fusions and heads, by argument name. They
do not apply to components of other packages, where the name may have another meaning."""

LENGTHS = {"data.augment.scale": 2, "optimizer.betas": 2}

ALLOWED_VALUES: dict[str, tuple[str, ...]] = {
    "split": ("train", "val", "test"),
    "sidecar": ("txt", "json"),
    "explain": ("gradient", "rollout"),
    "modality_subsets": ("all",),
    "dtype": ("float32", "float16", "bfloat16"),
    "data.text": ("text", "captions"),
    "data.mixture_mode": ("corpora", "samples"),
    "data.order": ("random", "shards"),
    "data.resize_mode": ("crop", "pad", "squash", "naflex"),
    "data.frame_sampling": ("uniform", "fps", "dense"),
    "trainer.accelerator": ("auto", "cpu", "gpu", "cuda", "mps"),
    "trainer.precision": ("32-true", "bf16-mixed", "16-mixed"),
    "trainer.monitor_mode": ("min", "max"),
}

MULTIPROCESSING_STRATEGY = re.compile(
    r"ddp_(?:spawn|fork|notebook)(_find_unused_parameters_true)?.*"
)
"""Lightning strategies that copy this process; what the copies train is lost."""


def limit_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error for each value of the right type that is out of bounds or not allowed."""
    for path, (least, most) in BOUNDS.items():
        value = select(cfg, path)
        for number in value if isinstance(value, list) else [value]:
            if is_number(number) and not least <= number <= most:
                yield f"{path}: {value} is out of range; must be {format_bounds(least, most)}"
                break
    for path, length in LENGTHS.items():
        value = select(cfg, path)
        if isinstance(value, list) and len(value) != length:
            yield f"{path}: {value} has {len(value)} numbers; must have {length}"
    for path, allowed in ALLOWED_VALUES.items():
        value = select(cfg, path)
        if isinstance(value, str) and value not in allowed:
            yield f"{path}: {value!r} is invalid; must be one of {', '.join(allowed)}"
    devices = select(cfg, "trainer.devices")
    if devices is not None and not re.fullmatch(r"auto|-1|[1-9]\d*|(\d+,)+\d*", str(devices)):
        yield f"trainer.devices: {devices!r} must be a number, auto or a list such as '0,2'"
    yield from strategy_faults(cfg)
    if match := MULTIPROCESSING_STRATEGY.fullmatch(str(select(cfg, "trainer.strategy"))):
        yield (
            f"trainer.strategy={match[0]}: trains in copies of this process, and the weights are "
            f"lost when they exit; use trainer.strategy=ddp{match[1] or ''}"
        )


def strategy_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors for strategies that would train wrongly, and for settings that fsdp2 lacks."""
    strategy = str(select(cfg, "trainer.strategy"))
    if strategy.startswith(("fsdp", "deepspeed")) and strategy != "fsdp2":
        yield (
            f"trainer.strategy={strategy}: not supported; to shard the model over the devices, use "
            "trainer.strategy=fsdp2"
        )
    if strategy != "fsdp2" or cfg.get("command") not in ("pretrain", "finetune"):
        return
    for key, is_set, remedy in (
        ("precision=16-mixed", select(cfg, "trainer.precision") == "16-mixed", "use bf16-mixed"),
        ("ema", select(cfg, "trainer.ema") is not None, "remove it, or use trainer.strategy=ddp"),
        (
            "compile",
            select(cfg, "trainer.compile") is True,
            "remove it, or use trainer.strategy=ddp",
        ),
    ):
        if is_set:
            yield f"trainer.{key}: not supported with trainer.strategy=fsdp2; {remedy}"
    mixture = select(cfg, "data.mixture")
    parts = [part for part in mixture if isinstance(part, Mapping)] if mixture else []
    if select(cfg, "trainer.encoder_micro_batch") and any(part.get("heads") for part in parts):
        yield (
            "trainer.encoder_micro_batch: not supported with trainer.strategy=fsdp2 and datasets "
            "that train only some of the heads (data.mixture); use trainer.strategy=ddp"
        )


def bounds_fault(name: str, value: Any) -> str | None:
    """Return an error if an argument of an mmtx component is out of bounds, else None."""
    least, most = ARGUMENT_BOUNDS.get(name, (0, 0))
    if name not in ARGUMENT_BOUNDS or not is_number(value) or least <= value <= most:
        return None
    return f"{value} is out of range; must be {format_bounds(least, most)}"


def select(cfg: Any, path: str) -> Any:
    """Return the value at a dotted config path, or None if it does not exist."""
    for key in path.split("."):
        cfg = cfg.get(key) if isinstance(cfg, Mapping) else None
    return cfg


def within(name: str, prefix: str) -> bool:
    """Return True if a dotted name is ``prefix`` or lies below it."""
    return name == prefix or name.startswith(f"{prefix}.")


def entries(cfg: Mapping[str, Any], key: str) -> Iterable[tuple[str, Any]]:
    """Return the (name, node) pairs of a mapping of components; empty if it is not a mapping."""
    node = cfg.get(key)
    return node.items() if isinstance(node, Mapping) else ()


def is_number(value: object) -> bool:
    """Return True for an int or float, but not for a bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def format_bounds(least: float | int, most: float | int) -> str:
    """Describe bounds in words; a maximum above 10 is omitted."""
    return f"at least {least:g}" if most > 10 else f"between {least:g} and {most:g}"
