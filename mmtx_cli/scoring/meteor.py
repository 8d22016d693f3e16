"""Words, stems, synonyms and paraphrases shared with the references: METEOR 1.5."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mmtx_cli.metric.meteor.data import MeteorData
from mmtx_cli.metric.meteor.load import load_meteor
from mmtx_cli.metric.meteor.parameters import OTHER
from mmtx_cli.metric.meteor.score import meteor_scores
from mmtx_cli.metric.meteor.tries import BEAM
from mmtx_cli.metric.tokenizer.language import UNDETERMINED
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.families import Measured
from mmtx_cli.scoring.settings import ScoreSettings
from mmtx_cli.scoring.tokenization import reference_texts, tokenizer_for

# tests/benchmark/meteor_stages.py: captions of Flickr8k, each against the four others
_ALL_STAGES = 0.2589
_WITHOUT = {
    ("stem",): 0.2632,
    ("paraphrase",): 0.2480,
    ("stem", "paraphrase"): 0.2552,
}
_SOURCES = {
    "stem": "the package snowballstemmer (pip install 'mmtx[meteor]')",
    "synonym": "a list of synonyms",
    "paraphrase": "the file data/paraphrase-{}.gz of METEOR 1.5",
}


def measure(captions: Captions, settings: ScoreSettings) -> Measured:
    """Return METEOR with the parameters of the language and the tokenizer of the other metrics.

    Captions whose language is neither set nor found from their script are taken as English.
    """
    tokenizer = tokenizer_for(settings, reference_texts(captions))
    is_unknown = tokenizer.language == UNDETERMINED
    data = load_meteor("en" if is_unknown else tokenizer.language, settings.meteor_data)
    scores = meteor_scores(
        [tokenizer.tokens(caption) for caption in captions.predictions],
        [[tokenizer.tokens(caption) for caption in own] for own in captions.references],
        data,
    )
    found = notes(data)
    if is_unknown:
        found = (
            "meteor: the captions are taken as English; set language=… if they are in another one "
            "(language=en leaves out this note)",
            *found,
        )
    return Measured(scores, tokenizer.parameters | parameters(data), found)


def parameters(data: MeteorData) -> dict[str, Any]:
    """Return how METEOR was computed, JSON-compatible."""
    chosen = data.parameters
    found: dict[str, Any] = {
        "meteor": "1.5",
        "language": data.code,
        "stages": list(data.stages),
        "missing_stages": list(data.missing),
        "weights": {stage: chosen.weights[stage] for stage in data.stages},
        **{name: getattr(chosen, name) for name in ("alpha", "beta", "gamma", "delta")},
        "beam": BEAM,
        "function_words": "english",
    }
    if data.stem is not None:
        found["snowballstemmer"] = _snowball()
    return found


def notes(data: MeteorData) -> tuple[str, ...]:
    """Return what differs from METEOR 1.5 for this language, in sentences."""
    found = []
    if data.missing:
        sources = [_SOURCES[stage].format(data.language.short) for stage in data.missing]
        measured = ""
        if data.code == "en" and (score := _WITHOUT.get(data.missing)):
            measured = (
                f" (captions of Flickr8k score {score:.4f} instead of {_ALL_STAGES:.4f} without "
                f"{'it' if len(data.missing) == 1 else 'them'})"
            )
        found.append(
            f"meteor: {' and '.join(data.missing)} did not run, so the scores are not those of "
            f"METEOR 1.5{measured}; {'it needs' if len(sources) == 1 else 'they need'} "
            f"{' and '.join(sources)}"
        )
    if data.stem is not None and int(_snowball().partition(".")[0] or 0) >= 3:
        found.append(
            f"meteor: the stems are those of snowballstemmer {_snowball()}; METEOR 1.5 has those "
            "of version 2 (of 168,243 English words, 205 differ)"
        )
    if data.language is OTHER:
        found.append(
            f"meteor: METEOR 1.5 does not know the language {data.code}: only equal words match, "
            "with its language-independent parameters"
        )
    return tuple(found)


def _snowball() -> str:
    try:
        return version("snowballstemmer")
    except PackageNotFoundError:
        return ""
