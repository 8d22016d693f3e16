"""Heads that evaluation asks of a trained model, in place of its own (``head/eval_only.py``)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from mmtx_cli.config.cross_checks import is_trained
from mmtx_cli.config.introspect import signature_of
from mmtx_cli.data.corpus import Corpus, usable
from mmtx_cli.data.manifest.read import label_names_of
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.distributed.launch import Process
from mmtx_cli.errors import ConfigError
from mmtx_cli.inference.modality_views import all_answers
from mmtx_cli.model.build import component
from mmtx_cli.model.multimodal import MultimodalModel


def asks(cfg: DictConfig) -> bool:
    """Is anything asked of the model that it was not trained for?"""
    return not all(map(is_trained, cfg.head.values()))


def ask(
    model: MultimodalModel, corpus: Corpus, rows: Sequence[Sample], cfg: DictConfig
) -> dict[str, list[Sample]]:
    """Put the heads that are asked for in the place of the trained ones, which they may use.

    Returns the samples that each learns from before it is evaluated on ``rows``. The classes are
    those of the dataset card, else of all rows.
    """
    manifest = corpus.manifest
    cfg.label_names = manifest.card.label_names or label_names_of(manifest.samples)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    given = {"streams": list(model.fusion.streams), "trained": model.head}
    heads = {}
    for name, node in plain["head"].items():
        if not is_trained(node):
            takes = signature_of(node["_target_"]).parameters
            own = {key: value for key, value in given.items() if key in takes}
            heads[name] = component(f"head.{name}", node, **own)
    model.head = nn.ModuleDict(heads)  # type: ignore[assignment]
    return examples_of(model, corpus, rows)


def examples_of(
    model: MultimodalModel, corpus: Corpus, rows: Sequence[Sample]
) -> dict[str, list[Sample]]:
    """The samples that each head learns from before it is evaluated on ``rows``.

    Raises DataError if the rows, or those of split=train, are not such as it can use.
    """
    train = corpus.rows("train")
    found = {}
    for name, head in model.head.items():
        examples = head.examples(train, usable(rows, head.needs, corpus.manifest))  # type: ignore[operator]
        if examples and head.asks_text and "text" not in corpus.samples([], ["text"], ()).columns:  # type: ignore[truthy-function]
            raise ConfigError(f"head.{name}: encoder.text reads no words; leave the head out")
        found[name] = examples
    return found


def teach(
    model: MultimodalModel,
    corpus: Corpus,
    examples: Mapping[str, Sequence[Sample]],
    settings: Mapping[str, Any],
    process: Process,
    run_dir: Path,
) -> None:
    """Let heads learn from what they say of examples; every process encodes a share of these."""
    for name, own in examples.items():
        if not own:
            continue
        # texts that a head words itself are none of the data set's, and so in no cache
        source = replace(corpus, cache=None) if model.head[name].asks_text else corpus
        samples, shares = source.samples(own, list(model.encoder), ()), f"examples-{name}"
        said = all_answers(model, samples, {"": dict}, settings, process, run_dir, shares, [name])
        if said is None:
            continue
        by_id = dict(said.of(name, ""))
        read = [row for row in own if row.id not in said.unread]
        model.head[name].learn([by_id[row.id] for row in read], read)  # type: ignore[operator]
