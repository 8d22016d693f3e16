import inspect

import pytest

from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.introspect import TargetError, class_constant, class_trait, signature_of
from tests.messages import raises

CAPTIONING = "mmtx_cli.head.captioning.CaptioningHead"
TARGETS = sorted(
    line.partition("_target_:")[2].strip()
    for path in conf_dir().rglob("*.yaml")
    for line in path.read_text().splitlines()
    if line.startswith("_target_:")
)


@pytest.mark.parametrize("target", TARGETS)
def test_signatures_read_from_source_match_inspect(target):
    module, _, name = target.rpartition(".")
    real = inspect.signature(getattr(__import__(module, fromlist=[name]), name)).parameters
    read = signature_of(target).parameters
    assert list(read) == list(real)
    for key, parameter in real.items():
        assert (read[key].default is inspect.Parameter.empty) == (
            parameter.default is inspect.Parameter.empty
        ), key


def test_inherited_signatures_and_constants_are_found():
    head = "mmtx_cli.head.base.Head"
    assert list(signature_of(head).parameters) == ["dim", "available", "streams", "weight"]
    assert class_constant(CAPTIONING, "targets") == ("captions",)
    assert class_trait(CAPTIONING, "scores_every_text") is False  # the default
    assert class_constant(CAPTIONING, "nothing") is None


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("mmtx_cli.head.captionin.CaptioningHead", ["module", "mmtx_cli.head.captionin"]),
        (
            "mmtx_cli.head.captioning.Captioning",
            ["mmtx_cli.head.captioning ", "class", "'Captioning'", "CaptioningHead"],
        ),
        ("mmtx_cli.cli.main", ["mmtx_cli.cli ", "class", "'main'"]),
        ("mmtx_cli.command.export.os.system", ["module", "mmtx_cli.command.export.os"]),
        ("os.system", ["'os.system'", "trusted_packages=[os]"]),
        ("builtins.print", ["'builtins.print'", "trusted_packages=[builtins]"]),
        ("mmtx_clix.head.captioning.CaptioningHead", ["trusted_packages=[mmtx_clix]"]),
        ("evil.head.captioning.CaptioningHead", ["trusted_packages=[evil]"]),
        ("mmtx_cli./../../tmp/evil.Evil", ["'mmtx_cli./../../tmp/evil.Evil'", "dotted path"]),
        ("mmtx_cli..head.Head", ["'mmtx_cli..head.Head'", "dotted path"]),
        ("${oc.env:HOME}", ["'${oc.env:HOME}'", "dotted path"]),
        ("", ["''", "dotted path"]),
        ("None", ["'None'", "trusted_packages=[None]"]),
    ],
)
def test_what_is_no_target_of_ours_is_refused(target, parts):
    with raises(TargetError, *parts):
        signature_of(target)


def test_a_constant_is_never_read_from_a_namesake_of_another_package():
    with pytest.raises(TargetError):
        class_constant("evil.head.captioning.CaptioningHead", "targets")


def test_a_trusted_package_is_imported_and_only_that(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "trusted_one.py").write_text(
        "class Part:\n    def __init__(self, dim: int, depth: int | None = 1, **more): ...\n"
    )
    (tmp_path / "trusted_one_more.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "trusted_broken.py").write_text("import nothing_like_this\n")
    trusted = ("trusted_one", "trusted_broken")
    found = signature_of("trusted_one.Part", trusted).parameters
    assert list(found) == ["dim", "depth", "more"]
    with raises(TargetError, "'trusted_one_more.Part'", "trusted_packages=[trusted_one_more]"):
        signature_of("trusted_one_more.Part", trusted)
    with raises(TargetError, "'trusted_one.Prat'", "AttributeError: ", "'Prat'"):
        signature_of("trusted_one.Prat", trusted)
    with raises(TargetError, "ModuleNotFoundError: No module named 'nothing_like_this'"):
        signature_of("trusted_broken.Part", trusted)
