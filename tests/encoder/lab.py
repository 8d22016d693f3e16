"""Train every encoder that has no pretrained weights on the encoder laboratory.

``python tests/encoder/lab.py [--tasks …] [--encoders …] [--seeds …] > lab.jsonl`` prints a line a
training, ``python tests/encoder/lab.py --table lab.jsonl …`` makes tables of them for the docs.
A training ends as soon as the validation rows are solved, at the latest after ``STEPS`` steps of
32 samples; what is reported is measured on the test rows.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.overrides import force_add
from mmtx_cli.data.collate import Collate
from mmtx_cli.data.corpus import build_data
from mmtx_cli.model.build import build_model
from mmtx_cli.runs.resolve import DEFAULTS, preparation_of, sections
from mmtx_cli.synthetic.encoder_lab import make_encoder_lab
from mmtx_cli.synthetic.encoder_lab.make import TASKS
from mmtx_cli.training.optimizer import make_optimizer, make_schedule
from mmtx_cli.types import Batch
from tests.tiny import chosen_rows

STEPS, BATCH, VAL_EVERY = 1500, 32, 100
NUM = 3600
"""Rows of a task: 2,880 to train on, 360 to stop by, 360 to test with."""
MORE = {"image_count": 3 * NUM}
"""Tasks with more rows: that several patches show one shape is learned from examples."""
SOLVED = 0.99
"""Validation accuracy at which a training stops."""
DRAWS = {"video": 2}
"""How often the clips are drawn anew: where in time a frame is taken is augmentation."""
SMALL = {
    "image/vit": ["patch_size=8", "width=128", "depth=2", "num_heads=4"],
    "image/vit patch": ["patch_size=8", "width=128", "depth=2", "num_heads=4", "stem=patch"],
    "image/cnn": ["stride=8", "width=128", "depth=2"],
    "video/vit": ["patch_size=8", "width=64", "depth=2", "num_heads=4"],
    "video/vit joint": ["patch_size=8", "width=64", "depth=2", "num_heads=4", "attention=joint"],
    "video/vit patch": ["patch_size=8", "width=64", "depth=2", "num_heads=4", "stem=patch"],
    "video/per_frame": ["width=64", "image.patch_size=8", "image.width=64", "image.depth=2",
                     "image.num_heads=4"],
    "audio/spectrogram_cnn": ["width=128", "channels=[16,32,64,128]"],
    "audio/ast": ["num_mels=64", "width=128", "depth=2", "num_heads=4"],
    "audio/waveform": ["width=128", "depth=2"],
    "text/transformer": ["width=128", "depth=2"],
}  # fmt: skip
"""Every encoder that trains from scratch, with settings that have one; all else is the default."""


def configured(path, encoder):
    """The run's configuration, composed from conf/ as the command line would."""
    modality, name = encoder.split()[0].split("/")
    args = ["experiment=encoder_lab", f"data.path={path}", f"encoder/{modality}={name}"]
    args += [f"encoder.{modality}.{argument}" for argument in SMALL[encoder]]
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        cfg = compose("finetune", force_add(args))
    OmegaConf.set_struct(cfg, False)
    for key, value in DEFAULTS.items():
        cfg[key] = value if cfg[key] is None else cfg[key]
    return cfg


@dataclass
class Decoded:
    """A data set in memory: ``facts`` that its model must know, and one batch a split."""

    facts: dict
    train: list  # one batch for each draw of clips
    val: Batch
    test: Batch


def decoded(cfg, modality, draws=1):
    """Decode all that a configuration's manifest holds of a modality."""
    data = sections(cfg)["data"]
    corpus = build_data(data, preparation_of(cfg, data))

    def batch(split, draw=None):
        rows = corpus.rows(split)
        samples = corpus.samples(rows, [modality], ["label"], training=draw is not None)
        collate = Collate((modality,), ("label",), samples.preparation, samples.known)
        return collate([samples[(draw or 0, row)] for row in range(len(rows))])

    train = [batch("train", draw) for draw in range(draws)]
    return Decoded(corpus.config_values(), train, batch("val"), batch("test"))


def trained(cfg, data, modality, seed, steps=STEPS, change=None):
    """Train until the validation rows are solved; return the model and its validation curve.

    ``change`` alters the model before its first step.
    """
    cfg = OmegaConf.merge(cfg, data.facts)
    plain = OmegaConf.to_container(cfg, resolve=True)
    plain["encoder"] = {modality: plain["encoder"][modality]}
    torch.manual_seed(seed)
    model, settings = build_model({"model": plain}), sections(cfg)
    if change:
        change(model)
    optimizer = make_optimizer(model, settings["optimizer"])
    schedule = make_schedule(optimizer, settings["optimizer"], steps)
    random, curve = torch.Generator().manual_seed(seed), []
    for step in range(1, steps + 1):
        rows = torch.randint(len(data.train[0]), (BATCH,), generator=random).tolist()
        batch = chosen_rows(data.train[step % len(data.train)], rows)
        optimizer.zero_grad()
        model(batch)["classification"].loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings["trainer"].gradient_clip_val)
        optimizer.step()
        schedule.step()
        if step % VAL_EVERY == 0:
            curve.append(round(accuracy(model, data.val), 3))
            if curve[-1] >= SOLVED:
                break
    return model, curve


def accuracy(model, batch):
    """Accuracy of a model on a batch, evaluated in parts."""
    model.eval()
    right = 0
    for rows in torch.arange(len(batch)).split(200):
        logits = model.predict(chosen_rows(batch, rows.tolist()))["classification"]["logits"]
        right += (logits.argmax(dim=1) == batch.targets["label"][rows]).sum().item()
    model.train()
    return right / len(batch)


class Lab:
    """The tasks' data below a folder, made and decoded once each."""

    def __init__(self, folder, num=None):
        self.folder, self.num = Path(folder), num
        self.data = cache(self._data)

    def made(self, task):
        num = self.num or MORE.get(task, NUM)
        return make_encoder_lab(self.folder / task, num=num, size=32, task=task)

    def _data(self, task):
        modality = TASKS[task].modality
        encoder = next(name for name in SMALL if name.startswith(modality))
        return decoded(configured(self.made(task), encoder), modality, DRAWS.get(modality, 1))

    def accuracy(self, task, encoder, seed, steps=STEPS):
        """Test accuracy after training, and the validation accuracies on the way."""
        data, cfg = self.data(task), configured(self.made(task), encoder)
        model, curve = trained(cfg, data, TASKS[task].modality, seed, steps)
        return accuracy(model, data.test), curve


def tables(lines):
    """A Markdown table a modality: the lowest test accuracy of an encoder's seeds on each task."""
    cells = defaultdict(list)
    for line in lines:
        cells[line["task"], line["encoder"]].append(line["accuracy"])
    for modality in dict.fromkeys(TASKS[task].modality for task, _ in cells):
        tasks = [task for task in TASKS if TASKS[task].modality == modality]
        encoders = [encoder for encoder in SMALL if encoder.startswith(modality)]
        yield row(modality, ["chance", *(f"`{e.partition('/')[2]}`" for e in encoders)])
        yield row("---", ["---"] * (1 + len(encoders)))
        for task in tasks:
            found = [cells[task, encoder] for encoder in encoders]
            values = [f"{min(cell):.3f}" if len(cell) >= 3 else "" for cell in found]
            chance = f"{1 / len(TASKS[task].label_names):.2f}"
            yield row(task.removeprefix(f"{modality}_").replace("_", " "), [chance, *values])
        yield ""


def row(name, cells):
    """A line of a Markdown table."""
    return f"| {' | '.join([name, *cells])} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--encoders", nargs="+", default=list(SMALL))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--num", type=int, help="rows of every task")
    parser.add_argument("--data", help="folder of the tasks' data (default: a temporary one)")
    parser.add_argument(
        "--table", nargs="+", metavar="FILE", help="make tables of what was printed"
    )
    args = parser.parse_args()
    if args.table:
        texts = [Path(file).read_text() for file in args.table]
        lines = [json.loads(line) for text in texts for line in text.splitlines()]
        print("\n".join(tables(lines)))
        return
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(args.data or folder, args.num)
        for task in args.tasks:
            for encoder in [e for e in args.encoders if e.startswith(TASKS[task].modality)]:
                for seed in args.seeds:
                    begun = time.perf_counter()
                    value, curve = lab.accuracy(task, encoder, seed, args.steps)
                    seconds = round(time.perf_counter() - begun)
                    line = {"task": task, "encoder": encoder, "seed": seed, "accuracy": value}
                    line |= {"validation": curve, "seconds": seconds}
                    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
