"""The plain config of a model: what checkpoints and model folders store to rebuild it."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmtx_cli.config.cross_checks import trait
from mmtx_cli.config.introspect import signature_of
from mmtx_cli.runs.run_config import RunConfig


def model_config(run: RunConfig, corpus: Any) -> dict[str, Any]:
    """Return the config that rebuilds the model anywhere, as plain data.

    Args:
        run: The settings, with the facts about the data.
        corpus: The data, with its tokenizers and answers.
    """
    data, plain = run.data, run.plain
    where = {key: getattr(data, key) for key in ("root", "split", "path", "allow_outside_root")}
    where["path"] = data.path and str(Path(data.path).absolute())
    where["mixture"] = deepcopy(plain["data"].get("mixture"))
    return {
        "model": run.model,
        "preparation": asdict(corpus.preparation),
        "label_names": plain["label_names"],
        "multi_label": plain["multi_label"],
        "answer_names": corpus.answer_names,
        **{
            name: tokenizer.to_json() if tokenizer else None
            for name, tokenizer in (
                ("tokenizer", corpus.tokenizer),
                ("text_tokenizer", corpus.text_tokenizer),
            )
        },
        "data": where,
        "seed": run.seed,
    }


def make_portable(nodes: Mapping[str, Any], parts: Any) -> None:
    """Change the nodes of encoders or heads, so that they need no pretrained weights, in place."""
    for name, part in parts.items():
        change(nodes[name], part.rebuild_kwargs())


def trained_forms(heads: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nodes of heads as a trained model has them.

    A head that only trains another one further (trait ``trains``) becomes that one.
    """
    return {name: trained_form(node) for name, node in heads.items()}


def trained_form(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the node of a head as a trained model has it."""
    target = trait(node, "trains")
    if not isinstance(target, str):
        return node
    known = signature_of(target).parameters
    return {"_target_": target, **{key: value for key, value in node.items() if key in known}}


def make_decoder_portable(model: dict[str, Any], heads: Any) -> None:
    """Change the node of the decoder, so that it needs no pretrained weights, in place."""
    for head in heads.values():
        decoder: Any = getattr(head, "decoder", None)
        if hasattr(decoder, "rebuild_kwargs"):
            change(model["decoder"], decoder.rebuild_kwargs())


def portable_nodes(nodes: Mapping[str, Any], encoders: Any) -> dict[str, Any]:
    """Return copies of nodes that rebuild each encoder without its pretrained weights."""
    own = deepcopy(dict(nodes))
    make_portable(own, encoders)
    return own


def change(node: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Set keys of a component and of its nested components, in place."""
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(node.get(key), dict):
            change(node[key], value)
        else:
            node[key] = value
