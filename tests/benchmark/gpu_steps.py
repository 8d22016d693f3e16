"""Training steps of CLIP models and a captioner on one GPU: samples per second and share of peak.

``python tests/benchmark/gpu_steps.py`` runs every model with bfloat16, each in a process of its
own: eager, ``trainer.compile=blocks``, ``trainer.compile=true`` and, compiled by blocks, with
``--strategy`` (the key ``trainer.strategy``, such as fsdp). The models are composed from conf/ as a
command composes them, and trained by the command's own trainer on random batches in page-locked
memory (``data.prefetch=1``). The share of the peak is the operations of a step (forward and
backward, counted by torch at a small batch) over its time and the peak of the GPU.
``--tiny`` runs the same on a CPU with tiny sizes, which only shows that it works.
"""

import argparse
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import torch  # noqa: E402

from mmtx_cli.types import Batch, ModalityInput  # noqa: E402

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}
"""Dense bfloat16 FLOP/s by name of the GPU (NVIDIA's data sheets of the SXM models)."""
WARM, VOCABULARY, CONTEXT = 5, 49_408, 77
VIT = ("encoder/image=vit", "encoder.image.stem=patch")
TEXT = ("encoder/text=transformer", f"max_length={CONTEXT}", f"text_vocab_size={VOCABULARY}")
CLIP = (*VIT, *TEXT, "fusion=decision", "head=contrastive")


def sizes(path: str, width: int, depth: int, heads: int) -> tuple[str, ...]:
    """Return the overrides of an encoder's sizes."""
    return f"{path}.width={width}", f"{path}.depth={depth}", f"{path}.num_heads={heads}"


BASE_TEXT = sizes("encoder.text", 512, 12, 8)
MODELS: dict[str, tuple[int, tuple[str, ...]]] = {
    "CLIP ViT-B/32": (
        1024,
        (*CLIP, *sizes("encoder.image", 768, 12, 12), "encoder.image.patch_size=32", *BASE_TEXT,
         "dim=512", "head.contrastive.embed_dim=512"),
    ),
    "CLIP ViT-B/16": (
        256,
        (*CLIP, *sizes("encoder.image", 768, 12, 12), "encoder.image.patch_size=16", *BASE_TEXT,
         "dim=512", "head.contrastive.embed_dim=512"),
    ),
    "CLIP ViT-L/14": (
        64,
        (*CLIP, *sizes("encoder.image", 1024, 24, 16), "encoder.image.patch_size=14",
         *sizes("encoder.text", 768, 12, 12), "dim=768", "head.contrastive.embed_dim=768"),
    ),
    "captioner, ViT-B/16": (
        256,
        (*VIT, *sizes("encoder.image", 768, 12, 12), "encoder.image.patch_size=16", "dim=768",
         "fusion=decision", "head=captioning", "decoder.depth=6", "decoder.num_heads=12",
         f"vocab_size={VOCABULARY}", "bos_id=2", "eos_id=3", f"max_length={CONTEXT}"),
    ),
}  # fmt: skip
"""Batch size and overrides of each model."""
TINY = (
    *("encoder.image.width=16", "encoder.image.depth=2", "encoder.image.num_heads=2"),
    *("encoder.text.width=16", "encoder.text.depth=2", "encoder.text.num_heads=2"),
    *("decoder.depth=1", "decoder.num_heads=2", "dim=16", "text_vocab_size=100", "vocab_size=100"),
    "image_size=56",
)


def config_of(overrides: tuple[str, ...], tiny: bool) -> dict[str, Any]:
    """Return the model's configuration as ``mmtx pretrain`` composes it."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from mmtx_cli.config.conf_tree import conf_dir
    from mmtx_cli.config.overrides import force_add
    from mmtx_cli.runs.resolve import set_default_decoder

    text = any(x.startswith("encoder/text") for x in overrides)
    small = [x for x in TINY if text or not x.startswith("encoder.text")] if tiny else []
    if text:
        small = [x for x in small if not x.startswith("decoder.")]
    replaced = {x.partition("=")[0] for x in small}
    large = ["image_size=224", *overrides, *([] if text else ["encoder.text=null"])]
    if tiny:  # patches that tile the small picture
        replaced.add("encoder.image.patch_size")
        small.append("encoder.image.patch_size=14")
    args = [x for x in large if x.partition("=")[0] not in replaced] + small
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        cfg = compose("pretrain", force_add(args))
        set_default_decoder(cfg)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    plain["encoder"] = {name: node for name, node in plain["encoder"].items() if node}
    return plain


def make_batches(config: dict[str, Any], size: int, count: int = 2) -> list[Batch]:
    """Return batches of noise that the model can be trained on."""
    random = torch.Generator().manual_seed(0)
    side, words = config["image_size"], config.get("vocab_size") or config["text_vocab_size"]
    batches = []
    for _ in range(count):
        shape = (size, 1, 3, side, side)
        pixels = torch.randint(256, shape, dtype=torch.uint8, generator=random)
        inputs = {"image": ModalityInput(pixels, torch.ones(size, 1, dtype=torch.bool))}
        tokens = torch.randint(4, words, (size, CONTEXT), generator=random)
        targets = {"captions": tokens} if "captioning" in config["head"] else {}
        if "text" in config["encoder"]:
            inputs["text"] = ModalityInput(tokens, torch.ones(size, CONTEXT, dtype=torch.bool))
        batch = Batch(inputs, targets, [str(i) for i in range(size)])
        batches.append(batch.pin_memory() if torch.cuda.is_available() else batch)
    return batches


class Timed:
    """Yields batches, already copied ahead, and notes when each is asked for."""

    def __init__(self, batches: list[Batch], steps: int) -> None:
        self.batches, self.steps = batches, steps
        self.seconds: list[float] = []

    def __len__(self) -> int:
        return WARM + self.steps + 1

    def __iter__(self) -> Iterator[Batch]:
        from mmtx_cli.training.batches.device_prefetch import DevicePrefetch

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        batches = [self.batches[i % len(self.batches)] for i in range(len(self))]
        for batch in DevicePrefetch(batches, device, 1):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.seconds.append(time.perf_counter())
            yield batch

    def median(self) -> float:
        """Return the median duration of a step."""
        ends = self.seconds[WARM:]
        return statistics.median(b - a for a, b in pairwise(ends))


def operations(config: dict[str, Any], size: int) -> float:
    """Return the floating-point operations of a step with ``size`` samples."""
    from torch.utils.flop_counter import FlopCounterMode

    from mmtx_cli.model.build import build_model

    small = 2
    model = build_model({"model": config}).train()
    (batch,) = make_batches(config, small, 1)
    with FlopCounterMode(display=False) as counter:
        sum(p.loss for p in model(batch).values()).backward()  # type: ignore[union-attr]
    return counter.get_total_flops() * size / small


def measure(options: argparse.Namespace) -> None:
    """Train one model in one way, and print its figures."""
    from train_step import trained

    from mmtx_cli.config.schema import OptimizerSettings
    from mmtx_cli.training.module import TrainingModule

    warnings.filterwarnings("ignore")
    batch_size, overrides = MODELS[options.model]
    config = config_of(overrides, options.tiny)
    size = 4 if options.tiny else options.batch or batch_size
    flop = operations(config, size)
    module = TrainingModule({"model": config}, OptimizerSettings(), 1)
    loader = Timed(make_batches(config, size), 2 if options.tiny else options.steps)
    how = {"false": False, "true": True}.get(options.compile, options.compile)
    more = {"precision": "bf16-mixed", "compile": how, "strategy": options.strategy}
    on_gpu = torch.cuda.is_available() and not options.tiny
    start = time.perf_counter()
    trained(module, loader, size, accelerator="gpu" if on_gpu else "cpu", progress=False, **more)  # type: ignore[arg-type]
    first, seconds = loader.seconds[1] - start, loader.median()
    name = torch.cuda.get_device_name() if on_gpu else "CPU"
    peak = options.peak or next((x for key, x in PEAKS.items() if key in name), None)
    share = f", {100 * flop / seconds / peak:.1f} % of the peak" if peak else ""
    print(
        f"| {options.model} | {sum(p.numel() for p in module.parameters()) / 1e6:.0f} M | {size} | "
        f"{options.compile} | {options.strategy} | {first:.1f} | {1e3 * seconds:.1f} | "
        f"{size / seconds:,.0f} | {flop / size / 1e9:.1f}{share} |",
        flush=True,
    )


def main() -> None:
    """Run everything, or one model in one way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS)
    parser.add_argument("--compile", default="false", choices=["false", "blocks", "true"])
    parser.add_argument("--strategy", default="auto")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, help="samples per step instead of the model's own")
    parser.add_argument("--peak", type=float, help="FLOP/s of the device")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, on a CPU")
    options = parser.parse_args()
    if options.model:
        measure(options)
        return
    head = "model | parameters | batch | compile | strategy | first step, s | step, ms | samples/s"
    print(f"| {head} | GFLOP per sample, share of peak |\n" + "| --- " * 9 + "|", flush=True)
    ways = [("false", "auto"), ("blocks", "auto"), ("true", "auto")]
    ways += [("blocks", options.strategy)] if options.strategy != "auto" else []
    for model in MODELS:
        for how, strategy in ways:
            given = [x for x in sys.argv[1:] if not x.startswith("--strategy")]
            choice = ["--model", model, "--compile", how, f"--strategy={strategy}"]
            subprocess.run([sys.executable, __file__, *given, *choice], check=False)


if __name__ == "__main__":
    main()
