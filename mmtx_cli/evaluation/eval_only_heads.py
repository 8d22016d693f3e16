"""Evaluation-only heads, which replace the heads of a trained model (``head/eval_only.py``)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn

from mmtx_cli.config.cross_checks import is_trained
from mmtx_cli.config.introspect import signature_of
from mmtx_cli.data.corpus import Corpus, usable
from mmtx_cli.data.manifest.label_types import label_names_of
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.distributed.process import Process
from mmtx_cli.errors import ConfigError
from mmtx_cli.inference.modality_views import all_answers
from mmtx_cli.model.build import component
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.runs.run_config import EvalConfig, with_facts


def has_eval_only_heads(run: EvalConfig) -> bool:
    """Return whether the settings have evaluation-only heads."""
    return not all(map(is_trained, run.head.values()))


def with_classes(run: EvalConfig, corpus: Corpus) -> EvalConfig:
    """Return the settings with the classes of the dataset card, else with those of all rows."""
    manifest = corpus.manifest
    names = manifest.card.label_names or label_names_of(manifest.samples)
    return with_facts(run, {"label_names": names})


def replace_heads(
    model: MultimodalModel, corpus: Corpus, rows: Sequence[Sample], run: EvalConfig
) -> dict[str, list[Sample]]:
    """Replace the trained heads with the evaluation-only ones, which may use the trained heads.

    Args:
        model: The trained model, modified in place.
        corpus: The data set.
        rows: The samples to evaluate on.
        run: The settings, ``with_classes``.

    Returns:
        The samples that each head is fitted on before evaluation.
    """
    available = {"available": list(model.fusion.streams), "trained_heads": model.head}
    heads = {}
    for name, node in run.head.items():
        if not is_trained(node):
            parameters = signature_of(node["_target_"]).parameters
            arguments = {key: value for key, value in available.items() if key in parameters}
            heads[name] = component(f"head.{name}", node, **arguments)
    model.head = nn.ModuleDict(heads)  # type: ignore[assignment]
    return examples_of(model, corpus, rows)


def examples_of(
    model: MultimodalModel, corpus: Corpus, rows: Sequence[Sample]
) -> dict[str, list[Sample]]:
    """Return the samples that each head is fitted on before it is evaluated on ``rows``.

    Raises:
        DataError: If a head cannot use the rows, or those with split=train.
        ConfigError: If a head needs texts and the text encoder reads precomputed features.
    """
    train = corpus.rows("train")
    found = {}
    for name, head in model.head.items():
        examples = head.examples(train, usable(rows, head.targets, corpus.manifest))  # type: ignore[operator]
        if (
            examples
            and head.traits.encodes_text  # type: ignore[truthy-function]
            and "text" not in corpus.samples([], ["text"], ()).texts.columns
        ):
            raise ConfigError(
                f"head.{name}: needs text, but encoder.text reads precomputed features; remove it"
            )
        found[name] = examples
    return found


def fit_heads(
    model: MultimodalModel,
    corpus: Corpus,
    examples: Mapping[str, Sequence[Sample]],
    run: EvalConfig,
    process: Process,
) -> None:
    """Fit the heads on their outputs for the examples; every process encodes a share of these.

    Args:
        model: The model with the heads to fit.
        corpus: The data set.
        examples: The samples to fit each head on.
        run: The settings.
        process: This process.
    """
    for name, rows in examples.items():
        if not rows:
            continue
        # texts that a head generates are not part of the data set, so no cache has them
        source = replace(corpus, cache=None) if model.head[name].traits.encodes_text else corpus
        samples, shares = source.samples(rows, list(model.encoder), ()), f"examples-{name}"
        outputs = all_answers(model, samples, {"": dict}, run, process, shares, [name])
        if outputs is None:
            continue
        by_id = dict(outputs.of(name, ""))
        readable = [row for row in rows if row.id not in outputs.unread]
        model.head[name].fit([by_id[row.id] for row in readable], readable)  # type: ignore[operator]
