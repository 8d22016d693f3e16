"""Tiny models composed from conf/ as a user would, and batches that fit them.

A new component of conf/ is tested by existing. A new modality says in ``RAW`` what its raw input
looks like, a new column of the manifest in ``TARGETS`` what its target looks like.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor, nn

from mmtx_cli.config.conf_tree import choices, conf_dir
from mmtx_cli.config.groups import accepted_options
from mmtx_cli.config.introspect import class_constant, signature_of
from mmtx_cli.config.overrides import force_add
from mmtx_cli.config.validate import PROVIDED, components
from mmtx_cli.counter_rng.tensors import step_keys
from mmtx_cli.errors import ConfigError
from mmtx_cli.model.build import build_model, component
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.runs.resolve import set_default_decoder
from mmtx_cli.types import IGNORE_INDEX, Batch, ModalityInput, Tokens

VOCAB, BOS, EOS, FIRST_WORD = 30, 2, 3, 5
LABELS = ("red", "green", "blue")
SIDE, LENGTH, DIM = 64, 10, 16
FRAMES, SAMPLE_RATE, SECONDS = 4, 16000, 0.2
FEATURES, STEPS = 12, 10
"""Numbers of a vector of features, and vectors that have positions of their own."""

FACTS = (
    f"dim={DIM}",
    f"image_size={SIDE}",
    f"max_length={LENGTH}",
    f"num_frames={FRAMES}",
    f"sample_rate={SAMPLE_RATE}",
    f"audio_seconds={SECONDS}",
    f"vocab_size={VOCAB}",
    f"bos_id={BOS}",
    f"eos_id={EOS}",
    f"text_vocab_size={VOCAB}",
    "mask_id=4",
    "special_ids=[0,1,2,3,4]",
    f"label_names=[{','.join(LABELS)}]",
    "multi_label=false",
    f"answer_names=[{','.join(LABELS)}]",
    "label_mean=1.5",
    "label_std=2.0",
    f"max_feature_length={STEPS}",
    *(f"feature_sizes.{name}={FEATURES}" for name in ("text", "image", "video", "audio")),
)
# what makes a component small and predictable, where its class has such an argument
SIZES = {
    "width": 16,
    "depth": 1,
    "num_heads": 2,
    "patch_size": 16,
    "stride": 16,
    "body_width": 32,
    "body_depth": 2,
    "body_heads": 2,
    "body_channels": 8,
    "embed_dim": 8,
    "dropout": 0.0,
    "label_smoothing": 0.0,
}
REPRESENTATIVE = {
    "text": "transformer",
    "image": "vit",
    "video": "vit",
    "audio": "spectrogram_cnn",
}

ENCODERS = sorted(
    (path.parent.name, path.stem) for path in (conf_dir() / "encoder").glob("*/*.yaml")
)
FUSIONS = choices("fusion")
OTHERS = (
    *("masked_video", "masked_audio", "distillation_video", "distillation_audio"),
    *("self_distillation_video", "self_distillation_audio"),
    "logit_distillation",
    "self_critical",
)
"""Heads of modalities that these models have not, or that learn from a trained model;
``tests/head`` tries them with theirs.
"""
HEADS = [name for name in accepted_options("head", "pretrain") if name not in OTHERS]


def heads_for(fusion: str) -> list[str]:
    """All heads that make sense of what a fusion gives."""
    return [name for name in HEADS if fusion != "decision" or name != "matching"]


def composed(*args: str) -> dict[str, Any]:
    """The configuration of ``mmtx finetune`` with these arguments and all parts made tiny."""
    return deepcopy(_composed(*args))  # a test may change its own


@cache
def _composed(*args: str) -> dict[str, Any]:
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        whole = compose("finetune", force_add([*args]))
        set_default_decoder(whole)
        chosen = OmegaConf.to_container(whole)
        small = [
            f"{path}.{name}={value}"
            for group, top, part in components(chosen)
            for path, node in targets(top, part)
            for name, value in SIZES.items()
            if name in signature_of(node["_target_"]).parameters
            and name not in PROVIDED.get(group, ())
        ]
        # nothing is downloaded: teachers know nothing
        small += [
            f"{path}.weights=null"
            for _, top, part in components(chosen)
            for path, node in targets(top, part)
            if path != top and "weights" in node
        ]
        cfg = compose("finetune", force_add([*args, *without_overridden([*FACTS, *small], args)]))
        set_default_decoder(cfg)
    return OmegaConf.to_container(cfg, resolve=True)


def targets(path: str, node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """A component and those nested in it, with their paths."""
    if isinstance(node, Mapping) and "_target_" in node:
        yield path, dict(node)
        for key, value in node.items():
            yield from targets(f"{path}.{key}", value)


def without_overridden(small: Sequence[str], args: Sequence[str]) -> list[str]:
    """The sizes that the arguments do not set themselves."""
    overridden = {arg.partition("=")[0] for arg in args}
    return [size for size in small if size.partition("=")[0] not in overridden]


def build_or_skip(build: Any, *args: Any) -> Any:
    """Build; a package that only this component needs and that is not there skips the test."""
    try:
        return build(*args)
    except ConfigError as error:
        if "pip install mmtx[" in str(error):
            pytest.skip(str(error))
        raise


def tiny_encoder(modality: str, name: str, *args: str) -> Any:
    """One encoder alone."""
    cfg = composed(f"encoder/{modality}={name}", *args)
    return build_or_skip(component, f"encoder.{modality}", cfg["encoder"][modality])


def tiny_model(
    fusion: str = "concat",
    heads: Sequence[str] = ("classification",),
    modalities: Sequence[str] = ("text", "image"),
    args: Sequence[str] = (),
    seed: int = 0,
) -> MultimodalModel:
    """A whole model, in evaluation mode."""
    cfg = tiny_config(fusion, heads, modalities, args)
    torch.manual_seed(seed)
    return build_or_skip(build_model, {"model": cfg}).eval()


def tiny_config(
    fusion: str, heads: Sequence[str], modalities: Sequence[str], args: Sequence[str] = ()
) -> dict[str, Any]:
    """The configuration of a model of these parts."""
    chosen = [f"encoder/{modality}={REPRESENTATIVE[modality]}" for modality in modalities]
    # objectives that hide patches need each of them read by itself
    overridden = {arg.partition("=")[0] for arg in args}
    hiding = any(head.startswith(("masked_", "self_distillation_")) for head in heads)
    vits = [
        m for m in modalities if REPRESENTATIVE[m] == "vit" and f"encoder/{m}" not in overridden
    ]
    patch = [f"encoder.{m}.stem=patch" for m in vits if hiding]
    chosen += without_overridden(patch, args)
    cfg = composed(*chosen, f"fusion={fusion}", f"head=[{','.join(heads)}]", *args)
    return {**cfg, "encoder": {name: cfg["encoder"][name] for name in modalities}}


def text_data(random: torch.Generator, b: int, n: int) -> Tensor:
    return torch.randint(FIRST_WORD, VOCAB, (b, n), generator=random)


def image_data(random: torch.Generator, b: int, n: int) -> Tensor:
    return torch.randint(0, 256, (b, n, 3, SIDE, SIDE), generator=random, dtype=torch.uint8)


def audio_data(random: torch.Generator, b: int, n: int) -> Tensor:
    return torch.rand(b, n, SAMPLE_RATE // 100, generator=random) * 2 - 1


def feature_data(random: torch.Generator, b: int, n: int) -> Tensor:
    return torch.randn(b, n, FEATURES, generator=random)


def patch_data(random: torch.Generator, b: int, n: int) -> Tensor:
    """Patches of pictures with 2 rows and 4 columns, and their places."""
    size = 3 * SIZES["patch_size"] ** 2
    pixels = torch.randint(0, 256, (b, n, size), generator=random, dtype=torch.uint8)
    index = torch.arange(n) % 8
    places = torch.stack([index // 4, index % 4, index * 0 + 1, index * 0 + 3, index * 0], dim=1)
    return torch.cat([places.to(torch.uint8).expand(b, -1, -1), pixels], dim=2)


RAW = {
    "patches": patch_data,
    "text": text_data,
    "image": image_data,
    "video": image_data,
    "audio": audio_data,
    "features": feature_data,
}


def raw_of(modality: str, name: str) -> str:
    """The kind of raw input that an encoder reads: of its modality, features or patches of it."""
    target = composed(f"encoder/{modality}={name}")["encoder"][modality]["_target_"]
    if modality == "image" and class_constant(target, "reads_patches"):
        return "patches"
    return "features" if class_constant(target, "reads_features") else modality


def tiny_field(modality: str, counts: Sequence[int], seed: int = 0) -> ModalityInput:
    """Noise, of which the first ``counts[i]`` of sample i are real; 0 is absent.

    ``modality`` may be "features" or "patches", as ``raw_of`` says.
    """
    random = torch.Generator().manual_seed(seed)
    assert modality in RAW, f"say in tests/tiny.py what the raw input of {modality!r} looks like"
    longest = max(1, *counts)
    mask = torch.arange(longest) < torch.tensor(counts)[:, None]
    return ModalityInput(RAW[modality](random, len(counts), longest), mask)


def captions(random: torch.Generator, b: int) -> Tensor:
    lengths = torch.randint(3, LENGTH - 1, (b, 1), generator=random)
    place = torch.arange(LENGTH - 1)
    words = torch.randint(FIRST_WORD, VOCAB, (b, LENGTH - 1), generator=random)
    words[:, 0] = BOS
    return words.where(place < lengths, EOS).where(place <= lengths, IGNORE_INDEX)


def label(random: torch.Generator, b: int) -> Tensor:
    return torch.randint(len(LABELS), (b,), generator=random)


def number(random: torch.Generator, b: int) -> Tensor:
    """All above what an untrained model says: the errors of several never cancel."""
    return 9 + torch.rand(b, generator=random)


def answers(random: torch.Generator, b: int) -> Tensor:
    return torch.nn.functional.one_hot(label(random, b), len(LABELS)).float()


TARGETS = {
    "captions": captions,
    "label": label,
    "number": number,
    "answers": answers,
    "answer_text": captions,
}


def tiny_batch(
    model: MultimodalModel,
    counts: Mapping[str, Sequence[int]],
    seed: int = 0,
    with_targets: bool = True,
) -> Batch:
    """Noise for each modality, and the targets that the heads need."""
    b = len(next(iter(counts.values())))
    inputs = {
        name: tiny_field(name, lengths, seed + i)
        for i, (name, lengths) in enumerate(counts.items())
    }
    needs = sorted({need for head in model.head.values() for need in head.targets})
    unknown = set(needs) - set(TARGETS)
    assert not unknown, f"say in tests/tiny.py what the targets {unknown} look like"
    random = torch.Generator().manual_seed(seed)
    targets = {need: TARGETS[need](random, b) for need in needs} if with_targets else {}
    return Batch(inputs, targets, [str(i) for i in range(b)])


def at_step(batch: Batch, step: int) -> Batch:
    """The batch as training has it in a step, with draws of its own."""
    return replace(batch, keys=step_keys(batch.keys, 0, step))


def noisy_where_absent(field: ModalityInput, seed: int = 99) -> ModalityInput:
    """The same field with other content where nothing is real."""
    random = torch.Generator().manual_seed(seed)
    noise = field.data.flatten()[torch.randperm(field.data.numel(), generator=random)]
    mask = field.mask.view(*field.mask.shape, *[1] * (field.data.dim() - 2))
    return ModalityInput(torch.where(mask, field.data, noise.view_as(field.data)), field.mask)


def chosen_rows(batch: Batch, rows: Sequence[int], trim: bool = False) -> Batch:
    """Some samples of a batch; with ``trim``, without the padding that they do not need."""
    index = torch.tensor(rows)

    def pick(field: ModalityInput) -> ModalityInput:
        mask = field.mask[index]
        longest = max(1, int(mask.sum(dim=1).max())) if trim else mask.shape[1]
        return ModalityInput(field.data[index, :longest], mask[:, :longest])

    inputs = {name: pick(field) for name, field in batch.inputs.items()}
    targets = {name: target[index] for name, target in batch.targets.items()}
    return Batch(inputs, targets, [batch.ids[i] for i in rows])


def same(a: Any, b: Any, tolerance: float = 0.0) -> None:
    """Tensors, or dicts of them, agree; numbers that are not floating exactly.

    The tolerance is a share of the largest value: a small sum of large ones is as inexact as they.
    """
    if isinstance(a, Mapping):
        assert a.keys() == b.keys()
        for name in a:
            same(a[name], b[name], tolerance)
    else:
        slack = tolerance if a.is_floating_point() else 0.0
        largest = max(1.0, b.abs().max().item()) if slack and b.numel() else 1.0
        torch.testing.assert_close(a, b, atol=slack * largest, rtol=slack)


def real(tokens: Tokens) -> Tensor:
    """The vectors of the real tokens, one after the other."""
    return tokens.x[tokens.mask]


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """Of every parameter that has one."""
    return {k: p.grad.clone() for k, p in module.named_parameters() if p.grad is not None}
