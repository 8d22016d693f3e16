"""Training steps a second on kept outputs of a frozen encoder, against running it at every step.

Run from the project's root: ``MMTX_TEST_DATA=… python tests/benchmark/cached.py``. Takes some
minutes. EfficientNet-Lite0 with its ImageNet weights at 224 pixels and a captioner on top, on the
photographs of flickr8k_mini; both sides read from disk by the command's own loaders, whose workers
begin anew each time, and make whole optimizer steps. They take turns, A B B A.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from mmtx_cli.distributed.openmp import set_waiting  # noqa: E402

set_waiting()  # as the command does; for both sides

import torch  # noqa: E402
from hydra import compose, initialize_config_dir  # noqa: E402
from omegaconf import DictConfig, OmegaConf  # noqa: E402
from paired import paired_ratio, report  # noqa: E402

from mmtx_cli.command import data_cache, data_import  # noqa: E402
from mmtx_cli.config.conf_tree import conf_dir  # noqa: E402
from mmtx_cli.config.overrides import force_add  # noqa: E402
from mmtx_cli.data.loader import TrainSampler, make_loader  # noqa: E402
from mmtx_cli.runs.resolve import train_config  # noqa: E402
from mmtx_cli.training.assemble import (  # noqa: E402
    build_module,
    load_weights,
    make_loaders,
    read_data,
)
from mmtx_cli.training.module import TrainingModule  # noqa: E402
from mmtx_cli.training.optimizer import make_optimizer  # noqa: E402

FROZEN = "freeze=[encoder.image]"
HEADS = {
    # the captioner of experiment=flickr8k_mini; and a small one, nearer to the cost of reading
    "two blocks": (),
    "one block": ("decoder.depth=1", "data.tokenizer_vocab_size=500"),
}


def composed(command: str, *args: str) -> DictConfig:
    """The command's configuration."""
    cfg = compose(command, force_add([*args]))
    OmegaConf.set_struct(cfg, False)
    return cfg


def made_manifest(folder: Path) -> Path:
    """Flickr8k's own files as a manifest."""
    home = Path(os.environ["MMTX_TEST_DATA"]) / "flickr8k_mini"
    args = [
        "action=import",
        "importer=flickr8k",
        f"out={folder / 'flickr8k_mini.jsonl'}",
        f"images={home / 'images'}",
        f"captions={home / 'captions.token.txt'}",
        *(f"splits.{split}={home / f'{split}_images.txt'}" for split in ("train", "val", "test")),
    ]
    data_import.run(composed("data_import", *args))
    return folder / "flickr8k_mini.jsonl"


def side(*args: str) -> tuple[TrainingModule, object, object]:
    """Module, samples and order as the command makes them."""
    source = read_data(train_config(composed("finetune", *args)))
    module = build_module(source)
    loaders, _ = make_loaders(source, module)
    load_weights(source, module)
    return module, loaders.train, loaders.order


def run(made: tuple, steps: int, warm: int, losses: list[float]) -> float:
    """Seconds of ``steps`` steps, once the loader's workers and the memory are warm."""
    module, samples, order = made
    module.train()
    module.model.encoder["image"].eval()  # frozen: as Lightning keeps it
    optimizer = make_optimizer(module.model, module.settings)
    loader = make_loader(samples, TrainSampler(samples, order, warm + steps), None)
    begun = 0.0
    for i, batch in enumerate(loader):
        if i == warm:
            begun = time.perf_counter()
        loss = module.training_step(batch, i)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return time.perf_counter() - begun


def compare(name: str, common: list[str], cache: Path, steps: int, rounds: int) -> None:
    """Print how many times faster a step is."""
    each: dict[str, list[float]] = {"encoded": [], "kept": []}
    losses: dict[str, list[float]] = {"encoded": [], "kept": []}

    def measured(key: str, made: tuple, count: int) -> float:
        seconds = run(made, count, 2, losses[key]) / count
        each[key].append(seconds)
        return seconds

    a: Callable[[], float] = partial(measured, "encoded", side(*common), steps)
    b: Callable[[], float] = partial(
        measured, "kept", side(*common, f"data.cache={cache}"), 10 * steps
    )
    ratio, ratios = paired_ratio(a, b, rounds)
    first = [values[0] for values in losses.values()]
    assert abs(first[0] - first[1]) < 1e-4 * first[0], first  # both learn from the same
    report(f"captioner of {name}: encoded / kept", ratio, ratios)
    for key, values in each.items():
        print(f"  {key}: {1 / min(values):.2f} steps a second at best")


def cached(rounds: int, steps: int = 4) -> None:
    """Make the manifest and the cache, and measure; ten times the steps on kept outputs."""
    if "MMTX_TEST_DATA" not in os.environ:
        sys.exit("MMTX_TEST_DATA: name the folder that holds flickr8k_mini")
    where = initialize_config_dir(str(conf_dir().absolute()), version_base="1.3")
    with where, tempfile.TemporaryDirectory() as name:
        manifest = made_manifest(Path(name))
        common = [
            "experiment=flickr8k_mini",
            f"data.path={manifest}",
            f"data.root={Path(os.environ['MMTX_TEST_DATA']) / 'flickr8k_mini' / 'images'}",
            "data.augment.scale=[1.0,1.0]",
            "data.augment.flip=false",
            "decoder.dropout=0",
            "trainer.precision=32-true",
            FROZEN,
        ]
        cache, begun = Path(name) / "cache", time.perf_counter()
        data_cache.run(composed("data_cache", *common, f"out={cache}"))
        print(f"caching took {time.perf_counter() - begun:.1f} s", flush=True)
        for title, head in HEADS.items():
            compare(title, [*common, *head], cache, steps, rounds or 5)
