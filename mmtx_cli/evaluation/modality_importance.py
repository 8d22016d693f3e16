"""How much each modality matters to what a trained model answers.

A modality is *shuffled* (every sample brings another sample's, so that it still looks real but
tells nothing; permutation importance, Breiman 2001, section 10), *zeroed* (it is there, and its
encoding is all zeros), taken away (*absent*, which the fusion knows of), or left *alone*.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.distributed.launch import Process
from mmtx_cli.evaluation.linear_probe import probe_figures
from mmtx_cli.head.base import Head
from mmtx_cli.inference.modality_views import Answers, all_answers, score, subset_name, subset_views
from mmtx_cli.inference.predict import View
from mmtx_cli.model.multimodal import MultimodalModel, kept_alone, zeroed
from mmtx_cli.types import Streams

SHUFFLED, ZEROED, ABSENT, ALONE = "shuffled", "zeroed", "absent", "alone"


def diagnosis_views(kept: Sequence[str]) -> dict[str, View]:
    """Views in which a modality is zeroed, absent or alone, for each of those that are kept."""
    few = [*([other for other in kept if other != name] for name in kept), *([n] for n in kept)]
    return subset_views([names for names in few if names]) | {
        f"{ZEROED} {name}": without_content(kept, name) for name in kept
    }


def without_content(kept: Sequence[str], name: str) -> View:
    """The kept modalities, one of them zeroed."""

    def view(encoded: Streams) -> Streams:
        return zeroed(kept_alone(encoded, kept), name)

    return view


def shuffled_answers(
    model: MultimodalModel,
    corpus: Any,
    rows: Sequence[Any],
    kept: Sequence[str],
    seed: int,
    settings: Mapping[str, Any],
    process: Process,
    run_dir: Path,
) -> dict[str, Answers | None]:
    """What is answered with each modality shuffled; of samples that could be read before."""
    unread = {ident for ident, _ in Quarantine(run_dir / "quarantine.jsonl", 1, 1).written()}
    readable = [row for row in rows if row.id not in unread]
    found = {}
    for at, name in enumerate(kept):
        samples = corpus.samples(readable, list(model.encoder), ())
        samples.shuffle(name, seed + at)
        views = subset_views([kept])
        shares = f"shuffled-{name}"
        found[name] = all_answers(model, samples, views, settings, process, run_dir, shares)
    return found


def diagnosis(
    model: MultimodalModel,
    corpus: Any,
    scored: Mapping[str, Any],
    answers: Answers,
    shuffled: Mapping[str, Answers | None],
    data: Any,
    device: Any,
    cfg: Any,
) -> dict[str, Any]:
    """By head, modality and what was done to it: the figures, and how they changed.

    ``probe`` holds the figures of a linear probe on the modality's encoding. ``scored`` holds
    (samples, rows, scores) of each head on the samples as they are.
    """
    found = contributions(
        model, scored, answers, shuffled, corpus.tokenizer, cfg.bootstrap, cfg.seed
    )
    probes = probe_figures(model, corpus, scored, list(shuffled), data, device)
    for head, by_modality in probes.items():
        for modality, figures in by_modality.items():
            if modality in found[head]:
                found[head][modality]["probe"] = {"metrics": figures}
    return found


def contributions(
    model: MultimodalModel,
    scored: Mapping[str, Any],
    answers: Answers,
    shuffled: Mapping[str, Answers | None],
    tokenizer: Any,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Figures of each head on every changed view, beside those of the samples as they are.

    Of a modality that is itself what a head predicts, such as hidden patches, there are none.
    """
    kept = list(shuffled)
    found: dict[str, Any] = {}
    for name, (samples, _, whole) in scored.items():
        head = model.head[name]
        if head.scores_every_text:  # its figures are those of a whole gallery
            continue
        found[name] = {}
        for modality in taken_from(head, kept):
            others = subset_name([other for other in kept if other != modality])
            outputs = {
                SHUFFLED: shuffled[modality].of(name, subset_name(kept)),  # type: ignore[union-attr]
                ZEROED: answers.of(name, f"{ZEROED} {modality}"),
                **({ABSENT: answers.of(name, others)} if others else {}),
                ALONE: answers.of(name, modality),
            }
            found[name][modality] = {
                kind: change(score(head, said, samples, tokenizer)[1], whole, resamples, seed)
                for kind, said in outputs.items()
            }
    return found


def taken_from(head: Head, kept: Sequence[str]) -> list[str]:
    """The modalities that a head can be asked without: those that its targets are not made of."""
    return [name for name in kept if name not in head.raw]


def change(scores: Any, whole: Any, resamples: int, seed: int) -> dict[str, Any]:
    """Figures beside their difference from the whole, with its paired bootstrap interval."""
    difference = scores.minus(whole)
    return {
        "metrics": scores.figures(),
        "change": difference.figures(),
        "intervals": difference.intervals(resamples=resamples, seed=seed),
    }
