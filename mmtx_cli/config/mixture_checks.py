"""Checks of the corpora of a mixture."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmtx_cli.config.constraints import entries, select
from mmtx_cli.suggest import suggest


def mixture_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors in the corpora of ``data.mixture``: names, paths, weights, texts, heads."""
    mixture = select(cfg, "data.mixture")
    if not isinstance(mixture, list) or not all(isinstance(corpus, Mapping) for corpus in mixture):
        return
    if select(cfg, "data.path"):
        yield "data.path: cannot be combined with data.mixture; add it to the mixture's corpora"
    names = [corpus.get("name") for corpus in mixture]
    has_weight = [corpus.get("weight") is not None for corpus in mixture]
    heads = {str(name) for name, node in entries(cfg, "head") if node}
    for i, corpus in enumerate(mixture):
        name, weight, where = corpus.get("name"), corpus.get("weight"), f"data.mixture[{i}]"
        if not name or "/" in str(name):
            yield f"{where}.name: {name!r} is invalid; must be a name without a slash"
        elif names.index(name) < i:
            yield f"{where}.name: {name!r} is already used by data.mixture[{names.index(name)}]"
        if not corpus.get("path"):
            yield f"{where}.path: required; set it to a manifest"
        if any(has_weight) and (
            weight is None or (isinstance(weight, (int, float)) and weight <= 0)
        ):
            yield f"{where}.weight: {weight}; set a weight above 0 for every corpus or for none"
        if corpus.get("text") not in (None, "text", "captions"):
            yield f"{where}.text: {corpus['text']!r} is invalid; must be text or captions"
        for head in corpus.get("heads") or ():
            if str(head) not in heads:
                yield f"{where}.heads: unknown head {head!r}; {suggest(str(head), heads)}"
        if corpus.get("heads") == []:
            yield f"{where}.heads: must not be empty; list heads, or remove the key"
    head_lists = [corpus.get("heads") for corpus in mixture]
    for head in sorted(heads):
        if head_lists and all(listed is not None and head not in listed for listed in head_lists):
            yield f"head.{head}: not listed in the heads of any corpus in data.mixture"
