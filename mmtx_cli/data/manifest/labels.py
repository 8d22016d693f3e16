"""Validation of labels against a model's classes."""

from collections.abc import Collection
from itertools import islice

from mmtx_cli.suggest import closest

_SHOWN = 10


def label_fault(
    label: object, known: Collection[str], multi_label: bool, trained: bool
) -> str | None:
    """Return why a label does not fit the model's classes, and what to do, or None.

    Args:
        label: A sample's label: a name, a number, a tuple of names, or None.
        known: The class names.
        multi_label: Whether a sample may have several labels.
        trained: Whether the classes are a trained model's, not those of the training rows.
    """
    if isinstance(label, tuple) and not multi_label:
        return "several labels, but the model was trained on one per sample; use one"
    labels = label if isinstance(label, tuple) else () if label is None else (label,)
    unknown = [name for name in labels if str(name) not in known]
    if not unknown:
        return None
    if not trained and not isinstance(unknown[0], str):
        return (
            f"label {unknown[0]} is a number, but classes are names; put it in quotes, or set "
            "`label_type: name` in the dataset card"
        )
    names = ", ".join(repr(name) for name in unknown)
    choices = ", ".join(islice(known, _SHOWN)) + (", …" if len(known) > _SHOWN else "")
    near = closest(str(unknown[0]), known, 0.6)
    hint = f"did you mean {near!r}?" if near else f"use one of {choices}, or remove it"
    if trained:
        return f"unknown label {names}: the model has no such class; {hint}"
    card = " (if only later rows have a class, list all under label_names in the dataset card)"
    return f"no training row has the label {names}; {hint}{card}"
