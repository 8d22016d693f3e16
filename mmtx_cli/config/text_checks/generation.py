"""Validate the section ``generation``: settings that need or exclude each other."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmtx_cli.config.cross_checks import class_attribute
from mmtx_cli.config.text_checks.contents import LONGEST, text_constraint_faults

SAMPLING = ("temperature", "top_p", "min_p")


def generation_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors in combinations of settings, each of which is valid on its own."""
    own = cfg.get("generation") or {}
    if not isinstance(own, Mapping):
        return
    yield from method_faults(own)
    if class_attribute(cfg.get("decoder") or {}, "reads_raw"):
        constrained = any(own.get(key) for key in LONGEST)
        for key in ("min_new_tokens", "no_repeat_ngram_size"):
            if constrained and own.get(key):
                yield (
                    f"generation.{key}: published models do not combine it with "
                    f"{', '.join(key for key in LONGEST if own.get(key))}; remove one"
                )
        for key, default in (("penalty_alpha", None), ("num_beam_groups", 1)):
            if own.get(key, default) != default:
                yield f"generation.{key}: not supported for published models; remove it"
    yield from beam_faults(own)
    yield from text_constraint_faults(own)
    most, least = own.get("max_new_tokens"), own.get("min_new_tokens")
    longest = number(cfg.get("max_length"))
    if number(most) and longest and most > longest - 1:
        yield (
            f"generation.max_new_tokens={most}: this model generates at most max_length - 1 = "
            f"{longest - 1} tokens"
        )
    limit = number(most) or (longest and longest - 1)
    if number(least) and limit and least >= limit:
        yield f"generation.min_new_tokens={least}: must be below the maximum of {limit} tokens"


def method_faults(own: Mapping[str, Any]) -> Iterator[str]:
    """Yield settings of one search method that are given for another."""
    samples, contrastive = own.get("do_sample"), own.get("penalty_alpha") is not None
    if samples and contrastive:
        yield "generation.penalty_alpha: contrastive search does not sample; remove do_sample"
    if (samples or contrastive) and (number(own.get("num_beams")) or 1) > 1:
        name = "do_sample=true" if samples else "penalty_alpha"
        yield f"generation.num_beams={own['num_beams']}: not with generation.{name}; remove one"
    if not samples:
        for key in SAMPLING:
            if own.get(key) not in (None, 1.0):
                yield (
                    f"generation.{key}={own[key]}: only used when sampling; set "
                    "generation.do_sample=true"
                )
    if own.get("top_k") is not None and not (samples or contrastive):
        yield (
            f"generation.top_k={own['top_k']}: only used with generation.do_sample=true or "
            "generation.penalty_alpha"
        )
    if contrastive and (number(own.get("num_return_sequences")) or 1) > 1:
        yield "generation.num_return_sequences: contrastive search finds one text; remove one"


def beam_faults(own: Mapping[str, Any]) -> Iterator[str]:
    """Yield settings of beam search that contradict each other."""
    beams, groups = number(own.get("num_beams")), number(own.get("num_beam_groups")) or 1
    texts = number(own.get("num_return_sequences")) or 1
    searches = not own.get("do_sample") and own.get("penalty_alpha") is None
    if searches and beams and texts > beams:
        yield (
            f"generation.num_return_sequences={texts}: needs at least as many beams; set "
            f"generation.num_beams={texts}"
        )
    if groups > 1 and (not beams or beams % groups or not searches):
        yield (
            f"generation.num_beam_groups={groups}: set generation.num_beams to a multiple, e.g. "
            f"{2 * groups}, without sampling"
        )
    if own.get("early_stopping") is True and (not searches or beams == 1):
        yield "generation.early_stopping: only used in beam search; remove it"
    if number(own.get("diversity_penalty")) and groups == 1:
        yield "generation.diversity_penalty: set generation.num_beam_groups, e.g. to num_beams"


def number(value: Any) -> Any:
    """Return a number, or None for another value, which is reported elsewhere."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number else None
