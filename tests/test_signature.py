import inspect

import pytest

from mmtx_cli.override import conf_dir
from mmtx_cli.signature import TargetError, class_constant, signature_of

CAPTIONING = "mmtx_cli.head.captioning.CaptioningHead"
TARGETS = sorted(
    line.partition("_target_:")[2].strip()
    for path in conf_dir().rglob("*.yaml")
    for line in path.read_text().splitlines()
    if line.startswith("_target_:")
)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_read_from_the_source_is_what_python_says(target):
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
    assert list(signature_of(head).parameters) == ["dim", "streams", "reads", "weight"]
    assert class_constant(CAPTIONING, "needs") == ("captions",)
    assert class_constant(CAPTIONING, "scores_every_text") is False  # of its base
    assert class_constant(CAPTIONING, "nothing") is None


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("mmtx_cli.head.captionin.CaptioningHead", "there is no module mmtx_cli.head.captionin"),
        ("mmtx_cli.head.captioning.Captioning", "has no class 'Captioning' (it has Captioning"),
        ("mmtx_cli.cli.main", "has no class 'main'"),
        ("mmtx_cli.command.export.os.system", "there is no module"),
        ("os.system", "outside mmtx; if you trust it, add trusted_packages=[os]"),
        ("builtins.print", "is outside mmtx"),
        ("mmtx_clix.head.captioning.CaptioningHead", "is outside mmtx"),
        ("evil.head.captioning.CaptioningHead", "is outside mmtx"),
        ("mmtx_cli./../../tmp/evil.Evil", "is no dotted path"),
        ("mmtx_cli..head.Head", "is no dotted path"),
        ("${oc.env:HOME}", "is no dotted path"),
        ("", "is no dotted path"),
        ("None", "is outside mmtx"),
    ],
)
def test_what_is_no_target_of_ours_is_refused(target, message):
    with pytest.raises(TargetError) as caught:
        signature_of(target)
    assert message in str(caught.value)


def test_a_constant_is_never_read_from_a_namesake_of_another_package():
    with pytest.raises(TargetError):
        class_constant("evil.head.captioning.CaptioningHead", "needs")


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
    with pytest.raises(TargetError, match="outside mmtx"):
        signature_of("trusted_one_more.Part", trusted)
    with pytest.raises(TargetError, match=r"cannot be imported: AttributeError: .*'Prat'"):
        signature_of("trusted_one.Prat", trusted)
    with pytest.raises(TargetError, match="ModuleNotFoundError: No module named 'nothing_like_th"):
        signature_of("trusted_broken.Part", trusted)
