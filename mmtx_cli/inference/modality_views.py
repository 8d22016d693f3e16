"""Outputs of a trained model for every sample, also with modalities removed or changed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import combinations
from typing import Any

from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.loader import EvaluationSampler, FurtherTexts, make_loader
from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.distributed.agreement import check_agreement
from mmtx_cli.distributed.collectives import world_size
from mmtx_cli.distributed.process import Process
from mmtx_cli.head.base import WRITTEN
from mmtx_cli.inference.predict import Outputs, View, by_sample, merge, predict
from mmtx_cli.io.unicode import composed
from mmtx_cli.model.multimodal import MultimodalModel, keep_only
from mmtx_cli.runs.run_config import RunConfig

Views = Mapping[str, View]
"""Transforms of the encoded samples, by name; the first is the unmodified evaluation."""


@dataclass(frozen=True)
class Answers:
    """The outputs of all processes, and the reason for each unreadable sample, by id."""

    outputs: Outputs
    unread: Mapping[str, str]

    def of(self, head: str, view: str) -> list[tuple[str, dict[str, Any]]]:
        """Return (id, outputs) of a head for a view of the samples."""
        return self.outputs[key(head, view)]


def by_head(
    answers: Answers, scored: Mapping[str, Any], view: str
) -> dict[str, list[list[dict[str, Any]]]]:
    """Return each head's outputs for a view, in the order of the samples that it was scored on."""
    return {
        name: in_order(answers.of(name, view), samples) for name, (samples, *_) in scored.items()
    }


def in_order(
    outputs: Sequence[tuple[str, dict[str, Any]]], samples: Sequence[Any]
) -> list[list[dict[str, Any]]]:
    """Return each sample's outputs: one, plus one per additional text if all texts are scored."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    for i, output in outputs:
        by_id.setdefault(i, []).append(output)
    return [by_id[sample.id] for sample in samples]


def key(head: str, view: str) -> str:
    """Return the key of a head's outputs for a view."""
    return f"{head}/{view}"


def subsets_of(modalities: Sequence[str]) -> list[list[str]]:
    """Return all non-empty subsets, from the full set to single modalities."""
    sizes = range(len(modalities), 0, -1)
    return [list(subset) for size in sizes for subset in combinations(modalities, size)]


def subset_name(modalities: Sequence[str]) -> str:
    """Return the name of the view that keeps only these modalities."""
    return " + ".join(modalities)


def subset_views(subsets: Sequence[Sequence[str]]) -> dict[str, View]:
    """Return a view for each of ``subsets`` that keeps only these modalities."""
    return {subset_name(subset): partial(keep_only, kept=subset) for subset in subsets}


def all_answers(
    model: MultimodalModel,
    samples: ManifestDataset,
    views: Views,
    run: RunConfig,
    process: Process,
    name: str = "outputs",
    heads: Sequence[str] | None = None,
    further: bool = True,
    recorded: bool = True,
) -> Answers | None:
    """Predict this process's share; return the merged outputs in the first process, else None.

    Args:
        model: The model.
        samples: The samples to predict.
        views: Transforms of the encoded samples to predict.
        run: The settings; the processes exchange their shares in its folder.
        process: This process.
        name: File name of the shares until they are merged.
        heads: Heads to run (default: all).
        further: Whether heads that score every text also predict the texts after the first.
        recorded: Whether unreadable samples are recorded in the run folder; too many are an error.
    """
    check_agreement(order_facts(samples), "data.path")
    data, precision, most = run.data, run.trainer.precision, run.data.max_unreadable_fraction
    record = run.run_dir / "quarantine.jsonl"
    quarantine = Quarantine(record, len(samples), most) if recorded else None
    requested = list(model.head if heads is None else heads)
    local: Outputs = {key(head, view): [] for head in requested for view in views}
    unread: dict[str, Any] = {}
    for names, sampler, pass_views in passes(
        model, requested, samples, data, process, views, further
    ):
        loader = make_loader(samples, sampler, data.num_workers)
        transforms = list(pass_views.values())
        for batch, answers in predict(
            model, names, loader, process, precision, run.seed, transforms
        ):
            if quarantine is not None:
                quarantine.add(batch.read_errors)
            unread |= {fault["id"]: {"reason": fault["reason"]} for fault in batch.read_errors}
            for view, outputs in zip(pass_views, answers, strict=True):
                for head, output in outputs.items():
                    local[key(head, view)] += zip(batch.ids, by_sample(output), strict=True)
    local[""] = sorted(unread.items())
    merged = merge(local, process, run.run_dir, name)
    if not process.is_first:
        return None
    if quarantine is not None:
        quarantine.check()
    return Answers(merged, {i: str(fault["reason"]) for i, fault in merged.pop("")})


def order_facts(samples: ManifestDataset) -> dict[str, Any]:
    """Return the number of samples and a digest of their ids, of which each process takes a share;
    nothing for a single process.
    """
    if world_size() == 1:
        return {}
    ids = "\n".join(sample.id for sample in samples.samples)
    digest = blake2b(ids.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return {"rows": len(samples), "ids of rows": digest}


def passes(
    model: MultimodalModel,
    requested: list[str],
    samples: ManifestDataset,
    data: Any,
    process: Process,
    views: Views,
    further: bool = True,
) -> Iterator[tuple[list[str], Any, Views]]:
    """Yield (heads, sampler, views) for each pass over the samples.

    The first pass is over every sample, for all heads. The second is over the samples' texts after
    the first, for heads that score every text, in the first view only.

    Args:
        model: The model.
        requested: Heads to run.
        samples: The samples to predict.
        data: Data settings.
        process: This process.
        views: Transforms of the encoded samples.
        further: Whether to include the second pass.
    """
    size = data.eval_batch_size or data.batch_size
    sampler = EvaluationSampler(samples, size, process.rank, process.world)
    yield requested, sampler, views
    heads = [name for name in requested if model.head[name].traits.scores_every_text]
    if further and heads and "text" in samples.texts.columns:
        yield heads, FurtherTexts(samples, sampler), dict([next(iter(views.items()))])


def score(
    head: Any,
    outputs: Sequence[tuple[str, Any]],
    samples: Sequence[Any],
    tokenizer: Any,
    texts: Sequence[Sequence[str]] = (),
) -> tuple[Any, Any]:
    """Return the rows and scores of a head.

    Args:
        head: The head.
        outputs: Its outputs by id; for each sample in the order of its texts.
        samples: The samples.
        tokenizer: Decodes token ids.
        texts: The input texts of each sample, for a head that scores every text.
    """
    sample_outputs = in_order(outputs, samples)
    for text_outputs, sample_texts in zip(sample_outputs, texts, strict=True) if texts else ():
        for output, text in zip(
            text_outputs, sample_texts, strict=False
        ):  # samples without text have an output
            output[WRITTEN] = composed(text)
    evaluation = head.evaluate(sample_outputs, list(samples), tokenizer)
    return evaluation.rows, evaluation.scores
