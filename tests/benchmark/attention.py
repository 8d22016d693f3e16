"""Where a captioner's decoder attends while it writes each word, drawn over films or pictures.

    python tests/benchmark/attention.py RUN FILE [FILE ...] --out FOLDER

Writes FOLDER/NAME.png and FOLDER/NAME.json a file. A row a word: the share of the attention on each
modality, the attention over the moments of the video and of the sound, and a heat map over the
frame of the moment with most attention. It is the cross-attention of the decoder's last layer,
averaged over the heads, of the step that predicts the word (of a word of several tokens the mean).
A fusion mixes its tokens, so a share says at which positions the decoder reads, not that all it
reads there comes from that modality.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor, nn

from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.overrides import force_add
from mmtx_cli.data.input_files import InputFiles
from mmtx_cli.data.loader import EvaluationSampler, make_loader
from mmtx_cli.data.pieces import Piece
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.data.text.tokenizer_choice import pretrained_tokenizer
from mmtx_cli.encoder.video.per_frame import PerFrameVideoEncoder
from mmtx_cli.encoder.video.vit import ViTVideoEncoder
from mmtx_cli.fusion.concat import ConcatFusion
from mmtx_cli.head.captioning import CaptioningHead
from mmtx_cli.inference.predict import load_model
from mmtx_cli.io.checkpoint import read_config
from mmtx_cli.io.quoting import quoted
from mmtx_cli.layer.attention import Attention
from mmtx_cli.media.worker.limits import DecodeLimits
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.runs.inherit import inherit
from mmtx_cli.runs.resolve import frozen_config
from mmtx_cli.runs.run_config import CaptionConfig
from mmtx_cli.types import FUSED, Batch, Streams

matplotlib.use("Agg")
from matplotlib import pyplot

Span = tuple[str, slice]
"""A modality and its tokens in what the decoder attends to."""


def attention_weights(module: Attention, x: Tensor, context: Tensor, mask: Tensor) -> Tensor:
    """Return the weights [b, h, n, m] of ``module(x, context, mask)``; each row sums to 1."""
    query, (key, _) = module.split(module.query(x)), module.keys(context)
    scores = query @ key.mT / query.shape[-1] ** 0.5
    return scores.masked_fill(~mask[:, None, None], -torch.inf).softmax(dim=-1)


class Recorder:
    """A forward hook that keeps the weights of an attention's last call, averaged over heads."""

    weights: Tensor
    """[b, n, m]."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        """Compute what ``scaled_dot_product_attention`` does not return."""
        self.weights = attention_weights(module, *args).mean(dim=1)


@torch.inference_mode()
def recorded(
    model: MultimodalModel, head: CaptioningHead, batch: Batch
) -> tuple[list[int], Tensor, list[Span]]:
    """Return the generated tokens of one sample, their attention [t, m], and what the m are."""
    streams = model.fusion(model.encode(batch))
    tokens = head.predict(streams, batch)["tokens"][0, 0].tolist()
    written = tokens[: tokens.index(head.eos_id)] if head.eos_id in tokens else tokens
    recorder = Recorder()
    hook = head.decoder.blocks[-1].cross_attention.register_forward_hook(recorder)
    try:  # the whole caption at once: step i reads token i - 1 and predicts token i
        read = torch.tensor([[head.bos_id, *written][: max(1, len(written))]])
        head.decoder(read, head.decoder_context(streams, batch))
    finally:
        hook.remove()
    return written, recorder.weights[0], spans(model, head, streams)


def spans(model: MultimodalModel, head: CaptioningHead, streams: Streams) -> list[Span]:
    """Return the tokens of each modality, in the order of ``head.context``."""
    names: list[str] = []
    for name in head.streams:
        if name != FUSED:
            names.append(name)
        elif isinstance(model.fusion, ConcatFusion):
            names += model.fusion.sequenced.kind
        elif hasattr(model.fusion, "query"):  # cross-attention: the query modalities
            names += model.fusion.query
        else:
            raise SystemExit(f"tokens of {type(model.fusion).__name__} belong to no modality")
    found, start = [], 0
    for name in names:
        stop = start + streams[name].x.shape[1]
        found.append((name, slice(start, stop)))
        start = stop
    assert start == sum(streams[name].x.shape[1] for name in head.streams)
    return found


def words(tokens: Sequence[int], tokenizer: Tokenizer) -> list[tuple[str, list[int]]]:
    """Return the words of a caption, each with the positions of its tokens."""
    found: list[tuple[str, list[int]]] = []
    text = ""
    for i in range(len(tokens)):
        longer = tokenizer.decode(tokens[: i + 1])
        if not found or (" " in longer[len(text) :] and longer.startswith(text)):
            found.append(("", []))
        rest = longer.split(" ")
        found[-1] = (rest[-1], [*found[-1][1], i])
        text = longer
    return found


def measured(
    model: MultimodalModel, head: CaptioningHead, batch: Batch, tokenizer: Tokenizer
) -> dict[str, Any]:
    """Return the caption and, by word, its attention: shares by modality, maps over time and space.

    ``words`` holds for each word ``shares`` by modality, which sum to 1, and in ``over_time`` the
    attention of each moment of ``video`` and ``audio``; ``maps`` is [moments, rows, columns] or
    None a word.
    """
    tokens, weights, layout = recorded(model, head, batch)
    rows, maps = [], []
    for word, positions in words(tokens, tokenizer):
        mean = weights[positions].mean(dim=0)
        parts = {name: mean[span] for name, span in layout}
        shares = {name: part.sum().item() for name, part in parts.items()}
        grid = space_time(model, batch, parts.get("video"))
        over_time = {"audio": parts["audio"].tolist()} if "audio" in parts else {}
        if grid is not None:
            over_time["video"] = grid.sum(dim=(1, 2)).tolist()
        rows.append({"word": word, "shares": shares, "over_time": over_time})
        maps.append(grid)
    return {"caption": tokenizer.decode(tokens), "words": rows, "maps": maps}


def space_time(model: MultimodalModel, batch: Batch, weights: Tensor | None) -> Tensor | None:
    """Return the weights [m] of a video's tokens as [moments, rows, columns]; None without any.

    The tokens of ``encoder/video=per_frame`` have a moment and no place: they come as one row.
    """
    encoder = dict(model.encoder).get("video")
    if weights is None or not batch.inputs["video"].mask.any():
        return None
    if isinstance(encoder, PerFrameVideoEncoder):
        return weights.view(-1, 1, encoder.tokens_per_frame)
    if not isinstance(encoder, ViTVideoEncoder):
        return None
    height, width = (side // encoder.patch_size for side in batch.inputs["video"].data.shape[-2:])
    return weights.view(-1, height, width)


def draw(found: dict[str, Any], batch: Batch, tubelet: int, path: Path) -> None:
    """Draw a row a word: shares, attention over time, and the heat map on its frame."""
    count = max(1, len(found["words"]))
    figure, axes = pyplot.subplots(
        count, 4, figsize=(11, 1.5 * count + 0.8), squeeze=False, layout="constrained"
    )
    figure.suptitle(found["caption"])
    for row, grid, (shares, video, audio, frame) in zip(
        found["words"], found["maps"], axes, strict=False
    ):
        shares.barh([*row["shares"]], [*row["shares"].values()])
        shares.set_xlim(0, 1)
        shares.set_ylabel(row["word"], rotation=0, ha="right", weight="bold")
        for axis, name in ((video, "video"), (audio, "audio")):
            over_time = row["over_time"].get(name, [])
            axis.bar(range(len(over_time)), over_time)
        frame.axis("off")
        if grid is not None:
            moment = int(grid.sum(dim=(1, 2)).argmax())
            picture = batch.inputs["video"].data[0, moment * tubelet].permute(1, 2, 0).numpy()
            size = (0, picture.shape[1], picture.shape[0], 0)
            frame.imshow(picture, extent=size)
            if grid.shape[1] > 1:
                frame.imshow(grid[moment], extent=size, cmap="inferno", alpha=0.55)
            frame.set_title(f"moment {moment + 1} of {len(grid)}", fontsize=8)
    titles = ("share of attention", "video: moments", "audio: tokens in time")
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize=9)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def run(ckpt: str, files: Sequence[str], out: Path) -> None:
    """Caption each file and write where the decoder attended."""
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        cfg = compose("caption", force_add([f"ckpt={quoted(ckpt)}"]))
    OmegaConf.set_struct(cfg, False)
    stored = read_config(ckpt)
    inherit(cfg, stored)
    settings = frozen_config(CaptionConfig, cfg, stored)
    model = load_model(settings, torch.device("cpu"))
    head = next((h for h in model.head.values() if isinstance(h, CaptioningHead)), None)
    if head is None or not stored["tokenizer"]:
        raise SystemExit(f"{ckpt}: no captioning head, or no tokenizer.json")
    tokenizer = Tokenizer.from_json(stored["tokenizer"])
    reader = settings.encoder.get("text") or {}
    samples = InputFiles(
        [Piece(path) for path in files],
        [str(i) for i in range(len(files))],
        list(model.encoder),
        settings.preprocessing,
        tokenizer,
        DecodeLimits.of(settings.data),
        text_tokenizer=pretrained_tokenizer(reader, stored.get("text_tokenizer")),
    )
    tubelet = getattr(dict(model.encoder).get("video"), "tubelet_size", 1)
    out.mkdir(parents=True, exist_ok=True)
    for batch in make_loader(samples, EvaluationSampler(samples, 1), 0):
        index = int(batch.ids[0])
        if batch.read_errors:
            print(f"{files[index]}: {batch.read_errors[0]['reason']}")
            continue
        found = measured(model, head, batch, tokenizer)
        path = out / f"{index:02d}_{Path(files[index]).stem}"
        draw(found, batch, tubelet, path.with_name(f"{path.name}.png"))
        found["maps"] = [grid if grid is None else grid.tolist() for grid in found["maps"]]
        path.with_name(f"{path.name}.json").write_text(json.dumps(found) + "\n")
        print(f"{path.name}: {found['caption']}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a run folder, .ckpt or model folder with a captioning head")
    parser.add_argument("files", nargs="+", help="films, pictures or sounds")
    parser.add_argument("--out", type=Path, default=Path("runs/attention"))
    given = parser.parse_args()
    run(given.run, given.files, given.out)
