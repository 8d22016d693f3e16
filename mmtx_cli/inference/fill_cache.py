"""Fill a feature cache: encode what the manifest rows name and write the outputs to shards."""

import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmtx_cli.config.data_settings import DataSettings
from mmtx_cli.data.cache.card import BODY, Card, cards
from mmtx_cli.data.cache.module_outputs import ModuleOutputs
from mmtx_cli.data.cache.writer import ShardWriter
from mmtx_cli.data.corpus import Corpus, build_data
from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.distributed.launch import launch
from mmtx_cli.distributed.signals import StopSignal
from mmtx_cli.errors import ConfigError, Interrupted
from mmtx_cli.inference.pending_entries import find_pending
from mmtx_cli.io.file_errors import megabytes
from mmtx_cli.io.progress import track
from mmtx_cli.model.build import build_encoders, build_teacher
from mmtx_cli.model.initialize import check_stored, load_initial
from mmtx_cli.runs.cached_features.cache_cards import encoder_card, teacher_card
from mmtx_cli.runs.model_config import portable_nodes
from mmtx_cli.runs.precomputed_features import set_feature_statistics
from mmtx_cli.runs.run_config import CacheConfig, with_facts
from mmtx_cli.types import ModalityInput, Tokens

Encode = Callable[[ModalityInput], Tokens]


def cache(run: CacheConfig, folder: Path, chosen: Sequence[str]) -> None:
    """Build the modules as in training, and cache the output of each for all rows.

    Args:
        run: The settings.
        folder: Folder of the cache.
        chosen: Modules to cache, such as ``encoder.image`` or ``head.NAME.teacher``.
    """
    data, text_encoder = run.data, run.encoder.get("text")
    corpus = build_data(data, run.preprocessing, run.seed, run.stored, text_encoder, run.head)
    run = with_facts(run, corpus.config_values())
    # a single process writes the shards, however many devices training uses
    single = replace(run.trainer, devices=1, num_nodes=1, strategy="auto")
    device = launch(single).device
    if run.stored:
        check_stored(run.stored, str(run.ckpt), run.trusted_packages)
    encoders: Any = seeded_encoders(run)
    model: Any = nn.ModuleDict({"encoder": encoders}).eval()
    nodes = portable_nodes(run.encoder, encoders)
    set_feature_statistics(model, corpus)
    if run.ckpt:
        load_initial(model, run.ckpt, run.fresh)
    plain = run.plain
    with StopSignal(partial(stopped, folder)) as stop:
        for part in chosen:
            group, name = part.split(".")[:2]
            if group == "encoder":
                encoder = encoders[name]
                state = model.state_dict()
                card = encoder_card(part, encoder, nodes[name], state, corpus, plain, run.dtype)
                encoder.to(device)
                encode: Encode = encoder.body_tokens if part.endswith(BODY) else encoder
            else:
                modality, teacher = teacher_of(run, name, corpus)
                card = teacher_card(part, modality, teacher, corpus, plain, run.dtype)
                encode = partial(pooled_tokens, teacher.to(device))
            claim(folder, card, run.overwrite)
            fill(folder, card, encode, corpus, data, device, stop)


def seeded_encoders(run: CacheConfig) -> nn.ModuleDict:
    """Return the encoders with the initial weights of a training run with this seed."""
    torch.manual_seed(run.seed)
    return nn.ModuleDict(build_encoders(run.encoder)).requires_grad_(False)


def teacher_of(run: CacheConfig, name: str, corpus: Corpus) -> tuple[str, Any]:
    """Return the modality of a distillation head, and its teacher."""
    config = {"model": run.model, "preparation": asdict(corpus.preparation)}
    node = config["model"]["head"][name]
    teacher = build_teacher(f"head.{name}", node, config, run.trusted_packages)
    return node["modality"], teacher.model


def pooled_tokens(teacher: Any, field: ModalityInput) -> Tokens:
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
    pending = find_pending(ModuleOutputs(place, card), corpus, card.modality)
    print_progress(f"{card.part}: {len(pending)} of {pending.total} entries to compute")
    if not len(pending):
        return
    writer = ShardWriter(place, card.width, dtype)
    quarantine = Quarantine(
        folder / "quarantine.jsonl", pending.total, data.max_unreadable_fraction
    )
    loader = pending.loader(data.eval_batch_size or data.batch_size, data.num_workers)
    low = device.type != "cpu" and dtype != torch.float32
    cast = torch.autocast(device.type, dtype=dtype) if low else nullcontext()
    done = pending.total - len(pending)
    try:
        with torch.inference_mode(), cast:
            for i, batch in enumerate(track(loader, len(loader), card.part)):
                tokens = encode(batch.inputs[card.modality].map(lambda x: x.to(device)))
                quarantine.add(batch.read_errors)
                size = pending.write(writer, batch, tokens)
                done += len(batch)
                if i == 0:
                    estimate(folder, card.part, size / len(batch) * len(pending))
                quarantine.check()
                if stop.number is not None:
                    break
    finally:  # entries finished before an error are kept as well
        writer.flush()
    if stop.number is not None:
        raise stopped(
            folder, stop.number, f"{card.part}: {done} of {pending.total} entries are saved"
        )


def stopped(folder: Path, number: int, kept: str = "written entries are saved") -> Interrupted:
    """Return the exception that reports which entries are complete and how to continue."""
    return Interrupted(
        number,
        f"stopped by signal {number}; out={folder}: {kept}; run the same command to continue",
    )


def estimate(folder: Path, part: str, size: float) -> None:
    """Print the cache size estimated from the first batch; ConfigError if the disk is too small."""
    free = shutil.disk_usage(folder).free
    print_progress(f"{part}: about {megabytes(size)} in {folder} ({megabytes(free)} free)")
    if size > free:
        raise ConfigError(
            f"out={folder}: about {megabytes(size)} are needed for {part}, {megabytes(free)} are "
            "free; use dtype=bfloat16 (half the size), data.limit_samples (fewer rows) or another "
            "folder"
        )


def print_progress(text: str) -> None:
    """Print progress on standard error; standard output is reserved for the folder's path."""
    print(text, file=sys.stderr, flush=True)


def claim(folder: Path, card: Card, overwrite: bool) -> None:
    """Create the folder of a module; existing entries must match its card or are overwritten.

    Raises ConfigError that names the differences.
    """
    place = folder / card.part
    if (existing := cards(folder).get(card.part)) is not None:
        faults = existing.differences(card)
        if existing.dtype != card.dtype:
            faults.append(f"dtype was {existing.dtype}, is now {card.dtype}")
        if not faults:
            return
        if not overwrite:
            *others, last = [f"out={folder}: {card.part}: {fault}" for fault in faults]
            raise ConfigError(*others, f"{last}; set overwrite=true, or use another folder")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    card.write(place)
