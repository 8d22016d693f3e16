"""Traits of heads: configuration checks read from the source what the classes state."""

from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from mmtx_cli.config.introspect import class_trait
from mmtx_cli.head.base import Head
from mmtx_cli.head.traits import HeadTraits

CONF = Path(__file__).parents[2] / "conf" / "head"
CONTENTS = [yaml.safe_load(path.read_text()) for path in CONF.glob("*.yaml")]
TARGETS = sorted({content["_target_"] for content in CONTENTS if "_target_" in content})


def class_of(target: str) -> type[Head]:
    module, _, name = target.rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("target", TARGETS)
def test_the_source_has_the_traits_of_the_class(target):
    traits = class_of(target).traits
    assert {f.name: class_trait(target, f.name) for f in fields(HeadTraits)} == vars(traits)


def test_only_heads_have_traits():
    assert class_trait("mmtx_cli.fusion.concat.ConcatFusion", "predicts") is None


def test_an_evaluation_only_head_stays_one():
    for target in TARGETS:
        head = class_of(target)
        assert head.traits.trained != any(c.__name__ == "EvaluationHead" for c in head.__mro__)
