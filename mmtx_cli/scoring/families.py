"""The families of caption metrics that ``mmtx score`` computes.

A family is a module with a function ``measure``; it is imported when it is used, because some need
torch.
"""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from mmtx_cli.metric.scores import Scores
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.settings import ScoreSettings

FAMILIES = {
    "overlap": "mmtx_cli.scoring.overlap",
    "meteor": "mmtx_cli.scoring.meteor",
    "properties": "mmtx_cli.scoring.properties",
    "similarity": "mmtx_cli.scoring.neural.similarity",
    "bertscore": "mmtx_cli.scoring.neural.bertscore",
    "clipscore": "mmtx_cli.scoring.neural.clipscore",
}
"""Name in ``metrics=[…]`` to the module that computes it."""


@dataclass(frozen=True)
class Measured:
    """What a family computed.

    Args:
        scores: The metrics, with their values per sample.
        parameters: How they were computed (tokenizer, model, stages), JSON-compatible; written to
            ``result.json``.
        notes: Sentences for the user about what differs from the published metric or was left out.
        whole: Metrics of the whole set of captions that have no interval.
        people: The same metrics of the first reference of each sample, where they are defined.
    """

    scores: Scores
    parameters: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    whole: dict[str, float] = field(default_factory=dict)
    people: dict[str, float] = field(default_factory=dict)


def measure(name: str, captions: Captions, settings: ScoreSettings) -> Measured:
    """Return the metrics of one family, a key of ``FAMILIES``."""
    measured: Measured = import_module(FAMILIES[name]).measure(captions, settings)
    return measured
