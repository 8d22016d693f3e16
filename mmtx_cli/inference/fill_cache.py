"""Fill a feature cache: encode what the manifest rows name and write the outputs to shards."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from mmtx_cli.config.schema import DataSettings
from mmtx_cli.data.cache.card import BODY, Card, cards
from mmtx_cli.data.cache.module_outputs import ModuleOutputs
from mmtx_cli.data.cache.writer import ShardWriter
from mmtx_cli.data.corpus import Corpus, build_data
from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.distributed.launch import launch
from mmtx_cli.distributed.signals import StopSignal
from mmtx_cli.errors import ConfigError, Interrupted
from mmtx_cli.inference.pending_entries import todo_of
from mmtx_cli.io.file_errors import megabytes
from mmtx_cli.io.progress import track
from mmtx_cli.model.build import build_encoders, build_teacher
from mmtx_cli.model.initialize import check_stored, load_initial
from mmtx_cli.runs.feature_cache import encoder_card, teacher_card
from mmtx_cli.runs.precomputed_features import set_feature_statistics
from mmtx_cli.runs.resolve import portable_nodes, preparation_of, sections
from mmtx_cli.types import ModalityInput, Tokens

Encode = Callable[[ModalityInput], Tokens]


def cache(
    cfg: DictConfig,
    stored: Mapping[str, Any] | None,
    fresh: Set[str],
    folder: Path,
    chosen: Sequence[str],
) -> None:
    """Build the modules as in training, and cache the output of each for all rows.

    Args:
        cfg: The configuration.
        stored: Config of the trained model in ``ckpt``, if any.
        fresh: Encoders with their own pretrained weights, which ``ckpt`` does not replace.
        folder: Folder of the cache.
        chosen: Modules to cache, such as ``encoder.image`` or ``head.NAME.teacher``.
    """
    settings = sections(cfg)
    data = settings["data"]
    preparation = preparation_of(cfg, data)
    corpus = build_data(data, preparation, cfg.seed, stored, cfg.encoder.get("text"), cfg.head)
    cfg.update(corpus.facts())
    # a single process writes the shards, however many devices training uses
    alone = replace(settings["trainer"], devices=1, num_nodes=1, strategy="auto")
    device = launch(alone).device
    if stored is not None:
        check_stored(stored, cfg.ckpt, tuple(cfg.trusted_packages))
    encoders: Any = seeded_encoders(cfg)
    model: Any = nn.ModuleDict({"encoder": encoders}).eval()
    nodes = portable_nodes(cfg, encoders)
    set_feature_statistics(model, corpus)
    if cfg.ckpt:
        load_initial(model, cfg.ckpt, fresh)
    with StopSignal(partial(stopped, folder)) as stop:
        for part in chosen:
            group, name = part.split(".")[:2]
            if group == "encoder":
                encoder = encoders[name]
                state = model.state_dict()
                card = encoder_card(part, encoder, nodes[name], state, corpus, cfg, cfg.dtype)
                encoder.to(device)
                encode: Encode = encoder.body_tokens if part.endswith(BODY) else encoder
            else:
                modality, teacher = teacher_of(cfg, name, corpus)
                card = teacher_card(part, modality, teacher, corpus, cfg, cfg.dtype)
                encode = partial(summed_up, teacher.to(device))
            claim(folder, card, cfg.overwrite)
            fill(folder, card, encode, corpus, data, device, stop)


def seeded_encoders(cfg: DictConfig) -> nn.ModuleDict:
    """Return the encoders with the initial weights of a training run with this seed."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    torch.manual_seed(cfg.seed)
    return nn.ModuleDict(build_encoders(plain["encoder"])).requires_grad_(False)


def teacher_of(cfg: DictConfig, name: str, corpus: Corpus) -> tuple[str, Any]:
    """Return the modality of a distillation head, and its teacher."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    config = {"model": plain, "preparation": asdict(corpus.preparation)}
    node = plain["head"][name]
    teacher = build_teacher(f"head.{name}", node, config, tuple(cfg.trusted_packages))
    return node["modality"], teacher.model


def summed_up(teacher: Any, field: ModalityInput) -> Tokens:
    """Return the teacher's pooled features as one token per sample, masked without the modality."""
    return Tokens(teacher.pooled_features(field)[:, None], field.mask.any(dim=1, keepdim=True))


def fill(
    folder: Path,
    card: Card,
    encode: Encode,
    corpus: Corpus,
    data: DataSettings,
    device: torch.device,
    stop: StopSignal,
) -> None:
    """Encode all content that has no cache entry yet; an error or signal keeps finished entries.

    Args:
        folder: Folder of the cache.
        card: Cache card of the module.
        encode: Encodes one modality of a batch.
        corpus: The data.
        data: Data settings.
        device: Device to encode on.
        stop: Records stop signals.

    Raises:
        Interrupted: after the batch in which a signal arrived.
    """
    place, dtype = folder / card.part, getattr(torch, card.dtype)
    todo = todo_of(ModuleOutputs(place, card), corpus, card.modality)
    say(f"{card.part}: {len(todo)} of {todo.total} entries to compute")
    if not len(todo):
        return
    writer = ShardWriter(place, card.width, dtype)
    quarantine = Quarantine(folder / "quarantine.jsonl", todo.total, data.max_unreadable_fraction)
    loader = todo.loader(data.eval_batch_size or data.batch_size, data.num_workers)
    low = device.type != "cpu" and dtype != torch.float32
    cast = torch.autocast(device.type, dtype=dtype) if low else nullcontext()
    done = todo.total - len(todo)
    try:
        with torch.inference_mode(), cast:
            for i, batch in enumerate(track(loader, len(loader), card.part)):
                tokens = encode(batch.inputs[card.modality].map(lambda x: x.to(device)))
                quarantine.add(batch.read_errors)
                size = todo.write(writer, batch, tokens)
                done += len(batch)
                if i == 0:
                    estimate(folder, card.part, size / len(batch) * len(todo))
                quarantine.check()
                if stop.number is not None:
                    break
    finally:  # entries finished before an error are kept as well
        writer.flush()
    if stop.number is not None:
        raise stopped(folder, stop.number, f"{card.part}: {done} of {todo.total} entries are saved")


def stopped(folder: Path, number: int, kept: str = "written entries are saved") -> Interrupted:
    """Return the exception that reports which entries are complete and how to continue."""
    return Interrupted(
        number,
        f"stopped by signal {number}; out={folder}: {kept}; run the same command to continue",
    )


def estimate(folder: Path, part: str, size: float) -> None:
    """Print the cache size estimated from the first batch; ConfigError if the disk is too small."""
    free = shutil.disk_usage(folder).free
    say(f"{part}: about {megabytes(size)} in {folder} ({megabytes(free)} free)")
    if size > free:
        raise ConfigError(
            f"out={folder}: about {megabytes(size)} are needed for {part}, {megabytes(free)} are "
            "free; use dtype=bfloat16 (half the size), data.limit_samples (fewer rows) or another "
            "folder"
        )


def say(text: str) -> None:
    """Print progress on standard error; standard output is reserved for the folder's path."""
    print(text, file=sys.stderr, flush=True)


def claim(folder: Path, card: Card, overwrite: bool) -> None:
    """Create the folder of a module; existing entries must match its card or are overwritten.

    Raises ConfigError that names the differences.
    """
    place = folder / card.part
    if (there := cards(folder).get(card.part)) is not None:
        faults = there.differences(card)
        if there.dtype != card.dtype:
            faults.append(f"dtype was {there.dtype}, is now {card.dtype}")
        if not faults:
            return
        if not overwrite:
            *others, last = [f"out={folder}: {card.part}: {fault}" for fault in faults]
            raise ConfigError(*others, f"{last}; set overwrite=true, or use another folder")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    card.write(place)
