"""``mmtx data action=cache``: what frozen encoders make of every row, computed once and kept."""

import shutil
import sys
from collections.abc import Mapping, Sequence, Set
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mmtx_cli.command.eval import inherit_data
from mmtx_cli.command.run_folder import lock
from mmtx_cli.command.train import portable_nodes, preparation_of, prepared, sections
from mmtx_cli.data.cache.card import Card, cards
from mmtx_cli.error import ConfigError
from mmtx_cli.hint import nearest

EXAMPLE = (
    "mmtx data action=cache out=cache/pairs data.path=pairs.jsonl encoder/image=efficientnet_lite"
)


def run(cfg: DictConfig) -> None:
    """Write the entries that are not there yet; the folder's path is the last line.

    Raises:
        ConfigError: if a setting is missing or wrong, or ``out`` holds what was made with others.
        DataError: if too many files cannot be read.
    """
    if not cfg.out:
        raise ConfigError(f"missing: out=…\n  e.g. {EXAMPLE}")
    if cfg.resume:
        raise ConfigError("resume: action=cache goes on wherever it was stopped; leave it out")
    cfg.out = str(cfg.out)
    cfg, stored, fresh = prepared(cfg, inherit_data)
    folder = Path(cfg.out).expanduser()
    chosen = chosen_parts(cfg)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock(folder, "out")
    except OSError as error:
        raise ConfigError(f"out={cfg.out}: cannot be written: {error.strerror}") from error
    cache(cfg, stored, fresh, folder, chosen)
    print(folder)


def chosen_parts(cfg: DictConfig) -> list[str]:
    """The parts that are kept: those named, or frozen, or all."""
    there = [f"encoder.{name}" for name, node in cfg.encoder.items() if node]
    frozen = [part for part in there if {part, "encoder"} & {*map(str, cfg.freeze)}]
    faults = [
        f"parts: there is no {part!r} to keep; {nearest(str(part), there, True)}"
        for part in cfg.parts
        if part not in there
    ]
    if faults:
        raise ConfigError(*faults)
    return list(cfg.parts) or frozen or there


def cache(
    cfg: DictConfig,
    stored: Mapping[str, Any] | None,
    fresh: Set[str],
    folder: Path,
    chosen: Sequence[str],
) -> None:
    """Build the encoders as the training builds them, and run each over what the rows name."""
    from torch import nn

    from mmtx_cli.build import build_data
    from mmtx_cli.command.cached import encoder_card, own
    from mmtx_cli.command.features import standardise
    from mmtx_cli.command.inherit import load_initial
    from mmtx_cli.training.launch import launch

    settings = sections(cfg)
    data = settings["data"]
    corpus = build_data(data, preparation_of(cfg, data), cfg.seed, stored, cfg.encoder.get("text"))
    cfg.update(corpus.facts())
    device = launch(settings["trainer"]).device
    encoders = seeded_encoders(cfg)
    model = nn.ModuleDict({"encoder": encoders}).eval()
    nodes = portable_nodes(cfg, encoders)
    standardise(model, corpus)
    if cfg.ckpt:
        load_initial(model, cfg.ckpt, fresh)
    state = model.state_dict()
    for part in chosen:
        name = part.removeprefix("encoder.")
        encoder: Any = encoders[name]
        card = encoder_card(
            name, nodes[name], own(state, name), corpus, cfg.seed, encoder.width, cfg.dtype
        )
        claim(folder, card, cfg.overwrite)
        fill(folder, card, encoder.to(device), corpus, data, device)


def seeded_encoders(cfg: DictConfig) -> Any:
    """The encoders with the weights that a training with this seed begins with."""
    import torch
    from omegaconf import OmegaConf
    from torch import nn

    from mmtx_cli.build import build_encoders

    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    torch.manual_seed(cfg.seed)
    return nn.ModuleDict(build_encoders(plain["encoder"])).requires_grad_(False)


def claim(folder: Path, card: Card, overwrite: bool) -> None:
    """Make the folder of a part; what is in it must have been made alike, or is replaced.

    Raises ConfigError that names the differences.
    """
    place = folder / card.part
    if (there := cards(folder).get(card.part)) is not None:
        faults = there.differences(card)
        if there.dtype != card.dtype:
            faults.append(f"dtype {there.dtype} then, {card.dtype} now")
        if not faults:
            return
        if not overwrite:
            *others, last = [f"out={folder}: {card.part}: {fault}" for fault in faults]
            raise ConfigError(*others, f"{last}; write overwrite=true, or name another folder")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    card.write(place)


def fill(folder: Path, card: Card, encoder: Any, corpus: Any, data: Any, device: Any) -> None:
    """Encode what has no entry yet; an interruption keeps what was done."""
    import torch

    from mmtx_cli.data.cache.part import Part
    from mmtx_cli.data.cache.todo import todo_of
    from mmtx_cli.data.cache.writer import ShardWriter
    from mmtx_cli.data.progress import track
    from mmtx_cli.data.quarantine import Quarantine

    place, dtype = folder / card.part, getattr(torch, card.dtype)
    todo = todo_of(Part(place, card), corpus, card.modality)
    say(f"{card.part}: {len(todo)} of {todo.total} entries to make")
    if not len(todo):
        return
    writer = ShardWriter(place, card.width, dtype)
    quarantine = Quarantine(folder / "quarantine.jsonl", todo.total, data.max_bad_fraction)
    loader = todo.loader(data.eval_batch_size or data.batch_size, data.num_workers)
    low = device.type != "cpu" and dtype != torch.float32
    cast = torch.autocast(device.type, dtype=dtype) if low else nullcontext()
    try:
        with torch.inference_mode(), cast:
            for i, batch in enumerate(track(loader, len(loader), card.part)):
                tokens = encoder(batch.inputs[card.modality].each(lambda x: x.to(device)))
                quarantine.add(batch.faults)
                size = todo.write(writer, batch, tokens)
                if i == 0:
                    estimate(folder, card.part, size / len(batch) * len(todo))
                quarantine.check()
    except KeyboardInterrupt:
        say(f"{card.part}: stopped; what is done is kept, and the same command goes on")
        raise
    finally:
        writer.flush()


def estimate(folder: Path, part: str, size: float) -> None:
    """Say how large it will be, judged by the first batch; ConfigError if the disk is too small."""
    free = shutil.disk_usage(folder).free
    say(f"{part}: about {megabytes(size)} in {folder} ({megabytes(free)} free)")
    if size > free:
        raise ConfigError(
            f"out={folder}: about {megabytes(size)} are needed for {part}, {megabytes(free)} are "
            "free; dtype=bfloat16 takes half, data.limit fewer rows, or name another folder"
        )


def megabytes(size: float) -> str:
    """Bytes as people read them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"


def say(text: str) -> None:
    """Tell the user how it goes; standard output is for the folder's path."""
    print(text, file=sys.stderr, flush=True)
