"""What a trained model answers on every sample, also with modalities taken away."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from mmtx_cli.command.trained import Outputs, by_sample, merge, predict
from mmtx_cli.data.loader import EvaluationSampler, FurtherTexts, make_loader
from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.model import MultimodalModel
from mmtx_cli.training.launch import Process

Subsets = Sequence[Sequence[str]]
"""Modalities that the samples are taken to have; the first subset is the evaluation proper."""


@dataclass(frozen=True)
class Answers:
    """The outputs of every process, and the ids of the samples that could not be read."""

    outputs: Outputs
    unread: frozenset[str]

    def of(self, head: str, kept: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
        """(id, outputs) of a head on a subset of the modalities."""
        return self.outputs[key(head, kept)]


def key(head: str, kept: Sequence[str]) -> str:
    """Where the outputs of a head on a subset are kept."""
    return "/".join([head, *kept])


def subsets_of(modalities: Sequence[str]) -> list[list[str]]:
    """Every subset that is not empty: all of them first, single ones last."""
    sizes = range(len(modalities), 0, -1)
    return [list(few) for size in sizes for few in combinations(modalities, size)]


def all_answers(
    model: MultimodalModel,
    corpus: Any,
    rows: Sequence[Any],
    subsets: Subsets,
    settings: Mapping[str, Any],
    process: Process,
    run_dir: Path,
) -> Answers | None:
    """Predict this process' share, and merge the shares in the first; None in the others."""
    data, precision = settings["data"], settings["trainer"].precision
    quarantine = Quarantine(run_dir / "quarantine.jsonl", len(rows), data.max_bad_fraction)
    mine: Outputs = {key(head, kept): [] for head in model.head for kept in subsets}
    unread: set[str] = set()
    samples = corpus.samples(rows, list(model.encoder), ())
    for heads, sampler, few in passes(model, samples, data, process, subsets):
        loader = make_loader(samples, sampler, data.num_workers)
        for batch, answers in predict(model, heads, loader, process, precision, few):
            quarantine.add(batch.faults)
            unread |= {fault["id"] for fault in batch.faults}
            for kept, outputs in zip(few, answers, strict=True):
                for head, output in outputs.items():
                    mine[key(head, kept)] += zip(batch.ids, by_sample(output), strict=True)
    mine[""] = [(i, {}) for i in sorted(unread)]
    every = merge(mine, process, run_dir)
    if not process.is_first:
        return None
    quarantine.check()
    return Answers(every, frozenset(i for i, _ in every.pop("")))


def passes(
    model: MultimodalModel, samples: Any, data: Any, process: Process, subsets: Subsets
) -> Iterator[tuple[list[str], Any, Subsets]]:
    """(heads, order, subsets of the modalities): every sample once for all heads; then its
    further texts for the heads that score them.
    """
    size = data.eval_batch_size or data.batch_size
    whole = EvaluationSampler(samples, size, process.rank, process.world)
    yield list(model.head), whole, subsets
    heads = [name for name, head in model.head.items() if head.scores_every_text]
    if heads and "text" in samples.columns:
        yield heads, FurtherTexts(samples, whole), subsets[:1]
