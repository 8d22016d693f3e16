"""Settings of generation that need or exclude each other."""

import pytest

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.config.text_checks.generation import generation_faults
from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.make import make_method
from tests.messages import faults_mention

REJECTED = [
    ({"do_sample": True, "num_beams": 3}, "generation.num_beams=3: ", "do_sample"),
    ({"do_sample": True, "penalty_alpha": 0.6}, "generation.penalty_alpha: ", "do_sample"),
    ({"penalty_alpha": 0.6, "num_beams": 2}, "generation.num_beams=2: ", "penalty_alpha"),
    ({"penalty_alpha": 0.6, "num_return_sequences": 2}, "generation.num_return_sequences: "),
    ({"temperature": 0.7}, "generation.temperature=0.7: ", "generation.do_sample=true"),
    ({"top_p": 0.9}, "generation.top_p=0.9: ", "generation.do_sample=true"),
    ({"min_p": 0.1, "num_beams": 2}, "generation.min_p=0.1: ", "generation.do_sample=true"),
    ({"top_k": 5}, "generation.top_k=5: ", "generation.do_sample=true", "penalty_alpha"),
    (
        {"num_beams": 2, "num_return_sequences": 3},
        "generation.num_return_sequences=3: ",
        "generation.num_beams=3",
    ),
    ({"num_beams": 4, "num_beam_groups": 3}, "generation.num_beam_groups=3: ", "multiple"),
    ({"num_beam_groups": 2}, "generation.num_beam_groups=2: ", "generation.num_beams"),
    ({"diversity_penalty": 0.5, "num_beams": 4}, "generation.diversity_penalty: ", "groups"),
    ({"max_new_tokens": 12}, "generation.max_new_tokens=12: ", "max_length - 1 = 11"),
    ({"min_new_tokens": 11}, "generation.min_new_tokens=11: ", "11 tokens"),
    (
        {"min_new_tokens": 5, "max_new_tokens": 5},
        "generation.min_new_tokens=5: ",
        "maximum of 5",
    ),
]
ACCEPTED = [
    {},
    {"num_beams": 1},
    {"num_return_sequences": 5},
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5, "num_return_sequences": 4},
    {"do_sample": True, "top_k": 5, "top_p": 0.9, "min_p": 0.1, "temperature": 0.7},
    {"do_sample": True, "num_beams": 1, "num_return_sequences": 3},
    {"penalty_alpha": 0.6, "top_k": 5, "no_repeat_ngram_size": 2},
    {"min_new_tokens": 3, "max_new_tokens": 5, "repetition_penalty": 1.2, "early_stopping": True},
]


@pytest.mark.parametrize(("settings", "words"), [(s, words) for s, *words in REJECTED])
def test_is_rejected(settings, words):
    found = list(generation_faults({"generation": settings, "max_length": 12}))
    faults_mention(found, tuple(words))


@pytest.mark.parametrize("settings", ACCEPTED)
def test_is_accepted_and_makes_a_search(settings):
    assert not list(generation_faults({"generation": settings, "max_length": 12}))
    method = make_method(GenerationSettings(**settings), Limits(0, 1, 12))
    assert method.num_texts == settings.get("num_return_sequences", 1) <= method.rows
