import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mmtx_cli.config.composition.interpolation import (
    MAX_DEPTH,
    MAX_SIZE,
    _Sizes,
    interpolation_faults,
)
from tests.messages import mentions


def doubled(first, line):
    """Each key stands for several of the key before it."""
    return {"a0": first} | {f"a{i}": line(i - 1) for i in range(1, 25)}


LAUGHS = {
    "texts": doubled("ha", lambda i: f"${{a{i}}}" * 2),
    "lists": doubled(["ha"], lambda i: [f"${{a{i}}}"] * 3),
    "mappings": doubled({"x": "ha"}, lambda i: {"x": f"${{a{i}}}", "y": f"${{a{i}}}"}),
    "relative": {"x": doubled("ha", lambda i: f"${{.a{i}}}" * 2)},
    "from above": {"x": doubled({"z": "ha"}, lambda i: {"z": f"${{..a{i}.z}}" * 2})},
    "by a resolver": doubled("ha", lambda i: f"${{oc.select:a{i}}}" * 2),
    "by brackets": {"x": doubled("ha", lambda i: f"${{x[a{i}]}}" * 2)},
    "by a decoder": doubled("ha", lambda i: f"${{oc.decode:'${{a{i}}}${{a{i}}}'}}"),
}


@pytest.mark.parametrize("plain", LAUGHS.values(), ids=LAUGHS)
def test_interpolations_that_stand_for_too_much(plain):
    begun = time.process_time()
    ((key, fault),) = interpolation_faults(plain)
    assert time.process_time() - begun < 1
    assert re.fullmatch(r"(x\.)?a\d+(\.\w)?", key)
    mentions(fault, "interpolations", MAX_SIZE, MAX_DEPTH)


@pytest.mark.parametrize(
    "text", ["${a${b}}", "${oc.select:a${b}}", "${oc.create:'a: 1'}", "x ${a.${b}.c}"]
)
def test_keys_that_are_computed_are_refused(text):
    ((key, fault),) = interpolation_faults({"data": {"path": ["x", text]}})
    assert key == "data.path.1"
    mentions(fault, repr(text), "key")


def test_long_chains_are_refused():
    plain = {"a0": "x"} | {f"a{i}": f"${{a{i - 1}}}" for i in range(1, 5000)}
    plain = dict(reversed(plain.items()))
    ((_, fault),) = interpolation_faults(plain)
    mentions(fault, "interpolations", "chain", MAX_DEPTH)


@pytest.mark.parametrize(
    "plain",
    [
        {"a": "${b}", "b": "${a}"},  # OmegaConf refuses it
        {"run_dir": "runs/${command}/${now:%Y}", "command": "finetune"},
        {"x": "${oc.env:HOME,${y}}", "y": 1},
        {"x": {"dim": "${dim}"}, "dim": 3, "y": ["${x}"] * 10},
        {"big": "x" * 400_000, "y": "${big}"},
        {},
    ],
)
def test_usual_ones_have_no_fault(plain):
    assert list(interpolation_faults(plain)) == []


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["${a}${b}", "${c}", "x", 1])))
def test_no_estimate_is_below_the_resolved_size(plain):
    estimate = _Sizes(plain).of(())
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(plain), resolve=True)
    except Exception:  # what refers to itself, or to nothing
        return
    assert estimate >= sum(len(str(value)) for value in resolved.values())
