"""Compare a training step under ``mmtx pretrain``'s own trainer with a bare PyTorch loop.

Run from the project's root: ``python tests/benchmark/train_step.py``. Takes some minutes.
Same model, same weights, same batches in memory, AdamW fused, gradients clipped on both sides;
mmtx's side has its logging, progress, checkpoints and schedule on. One process, and the two sides
take turns after every step, A B B A: a step lasts from its batch to the asking for the next one.
"""

import argparse
import copy
import statistics
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from mmtx_cli.distributed.openmp import set_waiting  # noqa: E402

set_waiting()  # as the command does; for both sides

import torch  # noqa: E402
from paired import Turns  # noqa: E402

from mmtx_cli.config.data_settings import DataSettings  # noqa: E402
from mmtx_cli.config.schema import LoggerSettings, OptimizerSettings, TrainerSettings  # noqa: E402
from mmtx_cli.data.quarantine import Quarantine  # noqa: E402
from mmtx_cli.data.sampling.mixture_spec import Mixing  # noqa: E402
from mmtx_cli.training.datamodule import TrainingData  # noqa: E402
from mmtx_cli.training.module import TrainingModule  # noqa: E402
from mmtx_cli.training.optimizer import make_optimizer  # noqa: E402
from mmtx_cli.training.trainer import RunLength, fit, make_trainer  # noqa: E402
from mmtx_cli.types import Batch, ModalityInput  # noqa: E402

WARM = 6
VOCABULARY = 200


class Turn:
    """One side's batches, each brought when it is this side's turn."""

    def __init__(self, batches: list[Batch], turns: Turns, side: str) -> None:
        self.batches, self.turns, self.side = batches, turns, side

    def __len__(self) -> int:
        return self.turns.count

    def __iter__(self) -> Iterator[Batch]:
        for turn in self.turns.take(self.side):
            yield self.batches[turn % len(self.batches)]


class Rows:
    """As many samples as there are in ready batches."""

    def __init__(self, count: int) -> None:
        self.count, self.mixing = count, Mixing()

    def __len__(self) -> int:
        return self.count


class Canned(TrainingData):
    """The command's data module with ready batches in the place of files."""

    def __init__(self, loader: Turn, settings: DataSettings) -> None:
        super().__init__(Rows(len(loader) * settings.batch_size), None, settings, 0, 1)
        self.loader = loader

    def train_dataloader(self) -> Turn:
        return self.loader


def make_config(width: int, depth: int) -> dict:
    """A captioner on a ViT: what ``experiment=scenes_caption`` trains, of the asked size."""
    return {
        "model": {
            "dim": width,
            "encoder": {
                "image": {
                    "_target_": "mmtx_cli.encoder.image.vit.ViTImageEncoder",
                    "image_size": 64,
                    "patch_size": 16,
                    "width": width,
                    "depth": depth,
                    "num_heads": 4,
                }
            },
            "fusion": {"_target_": "mmtx_cli.fusion.decision.DecisionFusion", "dim": width},
            "head": {
                "captioning": {
                    "_target_": "mmtx_cli.head.captioning.CaptioningHead",
                    "dim": width,
                    "bos_id": 2,
                    "eos_id": 3,
                }
            },
            "decoder": {
                "_target_": "mmtx_cli.decoder.transformer.TransformerDecoder",
                "vocab_size": VOCABULARY,
                "dim": width,
                "depth": 2,
                "dropout": 0.0,
            },
        }
    }


def make_batches(size: int, count: int = 8) -> list[Batch]:
    """Random pictures and captions."""
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(count):
        pictures = torch.randint(256, (size, 1, 3, 64, 64), dtype=torch.uint8, generator=generator)
        image = ModalityInput(pictures, torch.ones(size, 1, dtype=torch.bool))
        captions = torch.randint(4, VOCABULARY, (size, 12), generator=generator)
        ids = [str(i) for i in range(size)]
        batches.append(Batch({"image": image}, {"captions": captions}, ids))
    return batches


def bare(module: TrainingModule, loader: Turn) -> None:
    """A loop as one writes it by hand."""
    model = module.model.train()
    optimizer = make_optimizer(model, OptimizerSettings())
    for batch in loader:
        loss = model(batch)["captioning"].loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def trained(module: TrainingModule, loader: Turn, size: int, **trainer: Any) -> None:
    """The command's own trainer, with these settings, on batches of ``size`` samples."""
    more: dict[str, Any] = {"accelerator": "cpu", "gradient_clip_val": 1.0, **trainer}
    settings = TrainerSettings(max_steps=len(loader), **more)
    length = RunLength.of(settings, len(loader))
    module.steps = length.steps
    data = Canned(loader, DataSettings(batch_size=size))
    with tempfile.TemporaryDirectory() as folder:
        quarantine = Quarantine(Path(folder) / "quarantine.jsonl", 1, 0.0)
        trainer, _ = make_trainer(
            settings, LoggerSettings(), Path(folder), length, len(loader), quarantine, "benchmark"
        )
        fit(trainer, module, data, length, settings, None)


def compare(name: str, width: int, depth: int, size: int, steps: int, rounds: int) -> None:
    """Print the ratio for one size of model, ``steps`` to a round."""
    batches = make_batches(size)
    turns = Turns(WARM + steps * rounds)
    original = TrainingModule(make_config(width, depth), OptimizerSettings(), 1, seed=0)
    theirs = copy.deepcopy(original), Turn(batches, turns, "b")
    other = threading.Thread(target=bare, args=theirs, daemon=True)
    other.start()
    trained(original, Turn(batches, turns, "a"), size)
    other.join()
    ratio, ratios = turns.ratio(WARM, rounds)
    step = 1000 * statistics.median(turns.seconds["b"][WARM:])
    print(
        f"{name}: bare step {step:.1f} ms; mmtx / bare = {ratio:.3f} (median of {rounds} rounds, "
        f"{min(ratios):.3f} to {max(ratios):.3f})",
        flush=True,
    )


def main() -> None:
    """Both sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="the short step only")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    compare("short step", 64, 1, 8, 20, options.rounds)
    if not options.quick:
        compare("long step", 384, 6, 64, 2, options.rounds)


if __name__ == "__main__":
    main()
