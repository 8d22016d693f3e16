import inspect
import re

import pytest

from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.constraints import ARGUMENT_BOUNDS
from mmtx_cli.config.cross_checks import cross_field_faults
from mmtx_cli.config.introspect import signature_of
from mmtx_cli.config.validate import check, component_faults, type_fault
from mmtx_cli.errors import ConfigError
from mmtx_cli.suggest import suggest
from tests.messages import faults_mention, mentions

IMAGE = {"_target_": "mmtx_cli.encoder.image.vit.ViTImageEncoder", "image_size": 32}
TEXT = {
    "_target_": "mmtx_cli.encoder.text.transformer.TransformerTextEncoder",
    "vocab_size": None,
    "max_length": 16,
}
FUSION = {"_target_": "mmtx_cli.fusion.concat.ConcatFusion", "dim": 16}
CAPTIONING = {
    "_target_": "mmtx_cli.head.captioning.CaptioningHead",
    "dim": 16,
    "bos_id": None,
    "eos_id": None,
}
CONTRASTIVE = {"_target_": "mmtx_cli.head.contrastive.ContrastiveHead", "dim": 16}


def config(**changes):
    """A right configuration of ``mmtx finetune``, with some keys changed."""
    right = {
        "command": "finetune",
        "seed": 1,
        "resume": False,
        "freeze": [],
        "trusted_packages": [],
        "dim": 16,
        "image_size": 32,
        "max_length": 16,
        "encoder": {"image": IMAGE, "audio": None},
        "fusion": FUSION,
        "head": {"captioning": CAPTIONING},
        "data": {"path": "x.jsonl"},
        "optimizer": {},
        "trainer": {},
        "logger": {},
    }
    return {**right, **changes}


def faults(**changes):
    """What is wrong with it."""
    try:
        check(config(**changes))
    except ConfigError as error:
        return list(error.faults)
    return []


def test_a_right_configuration_passes():
    assert faults() == []


def test_every_fault_is_reported_at_once():
    found = faults(
        seed="x",
        encoder={"image": {**IMAGE, "dept": 3}},
        fusion=None,
        head={"captioning": CAPTIONING},
        generation={"num_beams": "many"},
        data={"batchsize": 3, "augment": {"flop": 1, "color": "red"}},
        optimizer={"lr": -1},
        trainer={"max_epoch": 3, "early_stopping": {"patience": 0}},
        freeze=["encoder.imag"],
    )
    faults_mention(
        found,
        ("seed: ", "'x'", "int"),
        ("encoder.image.dept: ", "'depth'"),
        ("data.batchsize: ", "'batch_size'"),
        ("data.augment.flop: ", "'flip'"),
        ("data.augment.color: ", "'red'", "float"),
        ("trainer.max_epoch: ", "'max_epochs'"),
        ("generation.num_beams: ", "'many'", "int"),
        ("optimizer.lr: ", "-1", "0"),
        ("trainer.early_stopping.patience: ", "0", "1"),
        ("fusion: ", "fusion=concat"),
        ("data.path: ", "data.path=MANIFEST.jsonl", "data=scenes"),
        ("freeze: ", "'encoder.imag'", "'encoder.image'"),
    )


def test_an_invalid_value_shared_by_many_components_is_reported_once():
    shared = {
        "fusion": {**FUSION, "dim": "abc"},
        "head": {"captioning": {**CAPTIONING, "dim": "abc"}},
    }
    faults_mention(faults(dim="abc", **shared), ("dim: ", "'abc'", "int | None"))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"resume": "yes"}, ("resume: ", "'yes'", "bool")),
        ({"freeze": "encoder"}, ("freeze: ", "'encoder'", "freeze=[encoder]")),
        ({"encoder": {}}, ("encoder: ", "encoder/image=vit")),
        ({"encoder": {"image": None}}, ("encoder: ", "encoder/image=vit")),
        ({"head": {}}, ("head: ", "head=captioning")),
        ({"data": {}}, ("data.path: ", "data.path=", "data=scenes")),
        ({"data": {"path": ""}}, ("data.path: ", "data.path=", "data=scenes")),
        ({"trainer": 3}, ("trainer: ", "3", "trainer.KEY=VALUE")),
        (
            {"encoder": {"image": {"depth": 3}, "text": TEXT}},
            ("encoder.image: ", "encoder/image=NAME", "cnn, "),
        ),
        ({"encoder": {"image": "vit", "text": TEXT}}, ("encoder.image: ", "encoder/image=NAME")),
        (
            {"head": {"captioning": CAPTIONING, "captionin": {"depth": 1}}},
            ("head.captionin: ", "'head.captioning'"),
        ),
        (
            {"head": {"captioning": {**CAPTIONING, "streams": "image"}}},
            ("head.captioning.streams: ", "'image'", "Sequence[str] | None"),
        ),
        ({"fusion": {"_target_": FUSION["_target_"]}}, ("fusion.dim: ", "required")),
        ({"fusion": {**FUSION, "modalities": []}}, ("fusion.modalities: ", "key", "dim, ")),
        (
            {"fusion": CAPTIONING},
            ("fusion._target_: ", f"'{CAPTIONING['_target_']}'", "mmtx_cli.fusion"),
        ),
        ({"freeze": ["text"]}, ("freeze: ", "'text'", "encoder, project, encoder.image, ")),
    ],
)
def test_faults_are_reported_with_a_remedy(changes, parts):
    faults_mention(faults(**changes), parts)


def test_deeper_parts_may_be_frozen():
    assert faults(freeze=["encoder", "encoder.image.blocks.0", "head.captioning", "fusion"]) == []


def test_values_that_the_data_fill_in_may_be_open():
    assert faults(encoder={"text": TEXT}, data={"path": "x", "text": "text"}) == []


def test_a_head_may_not_read_its_target():
    both, data = {"image": IMAGE, "text": TEXT}, {"path": "x", "text": "captions"}
    faults_mention(
        faults(encoder=both, data=data),
        ("head.captioning: ", "data.text=captions", "head.captioning.streams=[image]"),
    )
    for streams in (["text"], ["image", "fused"]):
        head = {"c": {**CAPTIONING, "streams": streams}}
        assert len(faults(encoder=both, data=data, head=head)) == 1
    assert faults(encoder=both, data=data, head={"c": {**CAPTIONING, "streams": ["image"]}}) == []
    assert faults(encoder=both, data=data, head={"c": CONTRASTIVE}) == []
    assert faults(encoder={"image": IMAGE}, data=data) == []


DECISION = {"_target_": "mmtx_cli.fusion.decision.DecisionFusion", "dim": 16}
BOTH = {"image": IMAGE, "text": TEXT}


def test_nobody_votes_on_captions():
    faults_mention(
        faults(encoder=BOTH, fusion=DECISION),
        ("head.captioning: ", "fusion=decision", "captions", "head.captioning.streams=[image]"),
    )
    chosen = {"captioning": {**CAPTIONING, "streams": ["image"]}}
    assert faults(encoder=BOTH, fusion=DECISION, head=chosen) == []
    assert faults(fusion=DECISION) == []
    assert faults(encoder=BOTH, fusion=DECISION, head={"contrastive": CONTRASTIVE}) == []


def test_heads_that_generate_text():
    answering = {"answering": {**CAPTIONING, "target": "answers"}}
    captions = {"path": "x", "text": "captions"}
    assert faults(encoder=BOTH, head=answering) == []
    # the captions are not what it is to produce
    assert faults(encoder=BOTH, head=answering, data=captions) == []
    faults_mention(
        faults(encoder=BOTH, fusion=DECISION, head=answering),
        ("head.answering: ", "fusion=decision", "answers", "head.answering.streams=[image]"),
    )
    faults_mention(
        faults(head={"h": {**CAPTIONING, "target": "answer"}}),
        ("head.h.target: ", "'answer'", "'answers'", "captions, answers"),
    )
    wrong = faults(head={"h": {**CAPTIONING, "target": 3}})
    faults_mention(wrong[:1], ("head.h.target: ", "3", "str"))


def test_a_question_is_for_a_model_that_hears_it():
    answering = {"h": {**CAPTIONING, "target": "answers"}}
    deaf = {"h": {**CAPTIONING, "target": "answers", "streams": ["image"]}}
    asked = {"command": "caption", "text": "what is it?"}
    silent = {"command": "caption", "text": None}
    assert faults(encoder=BOTH, head=answering, **asked) == []
    assert faults(encoder=BOTH, **asked) == []
    assert faults(encoder=BOTH, **silent) == []
    assert faults(head=answering, **silent) == []
    # no head reads the text: nothing but to leave it out
    unheard = faults(head=answering, **asked)
    faults_mention(unheard, ("text: ", "head"))
    assert "text=" not in unheard[0]
    assert faults(encoder=BOTH, head=deaf, **asked) == unheard
    faults_mention(
        faults(encoder=BOTH, head=answering, **silent),
        ("text: ", "question", "text='what color is it?'"),
    )
    faults_mention(faults(command="caption", text=["a"])[:1], ("text: ", "['a']", "str"))


@pytest.mark.parametrize(
    ("name", "key"),
    [("cross_attention", "query"), ("gated_cross_attention", "context"), ("film", "condition")],
)
def test_a_fusion_names_existing_modalities(name, key):
    cls = "".join(part.title() for part in name.split("_")) + "Fusion"
    fusion = {"_target_": f"mmtx_cli.fusion.{name}.{cls}", "dim": 16, key: ["txt", "image"]}
    faults_mention(
        faults(encoder=BOTH, fusion=fusion), (f"fusion.{key}: ", "encoder", "'txt'", "'text'")
    )


def test_a_text_encoder_must_have_something_to_read():
    both, mute = {"image": IMAGE, "text": TEXT}, {"path": "x", "text": None}
    faults_mention(
        faults(encoder=both, data=mute), ("encoder.text: ", "data.text", "encoder.text=null")
    )
    # an inherited text encoder that no head looks at
    assert faults(encoder=both, data=mute, head={"c": {**CAPTIONING, "streams": ["image"]}}) == []


EVIL = {"_target_": "os.system", "_args_": ["true"]}
OUTSIDE = ("'os.system'", "trusted_packages=[os]")


@pytest.mark.parametrize(
    ("change", "place", "parts"),
    [
        ({"_target_": "os.system"}, "._target_", OUTSIDE),
        ({"mean": EVIL}, ".mean._target_", OUTSIDE),
        ({"mean": [0.5, EVIL]}, ".mean[1]._target_", OUTSIDE),
        ({"mean": {"a": {"b": [EVIL]}}}, ".mean.a.b[0]._target_", OUTSIDE),
        ({"mean": {**FUSION, "dim": EVIL}}, ".mean.dim._target_", OUTSIDE),
        ({"_args_": [EVIL]}, "._args_[0]._target_", OUTSIDE),
        ({"_args_": [1]}, "._args_", ["key"]),
        ({"_partial_": True}, "._partial_", ["key"]),
        ({"_recursive_": True}, "._recursive_", ["key"]),
        (
            {"mean": "${oc.create:{_target_:os.system}}"},
            ".mean",
            ["'${oc.create:{_target_:os.system}}'", "interpolation"],
        ),
        ({"_target_": ["os.system"]}, "._target_", ["\"['os.system']\"", "path"]),
        ({"mean": {"_target_": "mmtx_cli.cli.main"}}, ".mean._target_", ["mmtx_cli.cli", "'main'"]),
    ],
)
def test_no_target_hides_from_the_check(change, place, parts):
    found = list(component_faults(config(encoder={"image": {**IMAGE, **change}})))
    there = [fault for fault in found if fault.startswith(f"encoder.image{place}: ")]
    assert any(all(part in fault for part in parts) for fault in there), found


def test_a_trusted_package_may_be_nested_and_hydras_own_keys_may_not(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_parts.py").write_text(
        "class Part:\n    def __init__(self, size: int, **more): ...\n"
    )
    part = {"_target_": "own_parts.Part", "size": 3, "anything": 1}
    trusting = {"trusted_packages": ["own_parts"]}
    assert faults(encoder={"image": {**part, "inner": [part]}}, **trusting) == []
    faults_mention(
        faults(encoder={"image": {**part, "size": "x"}}, **trusting),
        ("encoder.image.size: ", "'x'", "int"),
    )
    faults_mention(
        faults(encoder={"image": {**part, "inner": {**part, "_args_": [1]}}}, **trusting),
        ("encoder.image.inner._args_: ", "key"),
    )
    faults_mention(
        faults(encoder={"image": part}),
        ("encoder.image._target_: ", "'own_parts.Part'", "trusted_packages=[own_parts]"),
    )


@pytest.mark.parametrize(
    ("value", "annotation", "right"),
    [
        (3, "int", True),
        (3, "float", True),
        (3.5, "int", False),
        (True, "int", False),
        (True, "bool", True),
        (1, "bool", False),
        ("x", "str | None", True),
        (None, "int", True),  # the data may fill it in
        ([1], "Sequence[int]", True),
        ("ab", "Sequence[str] | None", False),
        ("x", "nn.Module", True),  # not plainly typed
        ("x", inspect.Parameter.empty, True),
        ("x", int, False),
    ],
)
def test_types(value, annotation, right):
    assert (type_fault(value, annotation) is None) is right


def test_nearest():
    close = suggest("dept", ["depth", "width"])
    mentions(close, "'depth'")
    assert "width" not in close
    mentions(suggest("zzz", ["depth", "width"]), "depth, width")
    assert suggest("dept", ["depth"], full=True).count("depth") == 2
    assert "'" not in suggest("zzz", [])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("encoder.image.depth", -1),
        ("encoder.image.width", 0),
        ("encoder.image.num_heads", 0),
        ("encoder.image.patch_size", 0),
        ("encoder.image.dropout", float("nan")),
        ("encoder.image.drop_path", 1.0),
        ("encoder.image.mlp_ratio", float("inf")),
        ("fusion.depth", -1),
        ("fusion.dropout", -0.1),
        ("head.captioning.label_smoothing", 2),
        ("head.captioning.label_smoothing", float("nan")),
        ("head.captioning.weight", -1),
    ],
)
def test_an_out_of_range_argument_is_reported_with_its_bounds(path, value):
    *where, name = path.split(".")
    changed = {"encoder": {"image": {**IMAGE}}, "fusion": {**FUSION}, "head": {"captioning": {}}}
    changed["head"]["captioning"] = {**CAPTIONING}
    node = changed
    for key in where:
        node = node[key]
    node[name] = value
    (fault,) = faults(**changed)
    assert re.fullmatch(
        rf"{path}: {re.escape(str(value))}\b.* {ARGUMENT_BOUNDS[name][0]:g}\b.*", fault
    )


def test_a_component_of_another_package_has_its_own_bounds(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text(
        "class Part:\n    def __init__(self, dim, depth=1): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    part = {"_target_": "stranger.Part", "dim": 16, "depth": -1}
    assert faults(fusion=part, trusted_packages=["stranger"]) == []


FILLED = {
    "dim", "image_size", "max_length", "num_frames", "sample_rate", "audio_seconds",
    "max_feature_length", "vocab_size", "bos_id", "eos_id", "mask_id", "label_mean", "label_std",
    "num_features",
}  # fmt: skip
"""Root keys, which have bounds there, and facts of the data."""


def test_every_number_of_every_shipped_part_has_bounds():
    paths = sorted(conf_dir().glob("encoder/*/*.yaml")) + sorted(
        path for group in ("fusion", "head") for path in conf_dir().glob(f"{group}/*.yaml")
    )
    assert len(paths) > 30
    for path in paths:
        target = re.search(r"_target_: (\S+)", path.read_text())
        if target is None:  # in the file that it extends
            assert "defaults: [_" in path.read_text() or "- _" in path.read_text(), path
            continue
        for name, parameter in signature_of(target[1], ()).parameters.items():
            kinds = {part.strip() for part in str(parameter.annotation).split("|")} - {"None"}
            if kinds and kinds <= {"int", "float"} and name not in {*FILLED, "mean", "std"}:
                assert name in ARGUMENT_BOUNDS, f"{path.stem}: {name}"


@pytest.mark.parametrize(
    ("strategy", "instead"),
    [
        ("ddp_spawn", "ddp"),
        ("ddp_fork", "ddp"),
        ("ddp_notebook", "ddp"),
        ("ddp_spawn_find_unused_parameters_false", "ddp"),
        ("ddp_fork_find_unused_parameters_true", "ddp_find_unused_parameters_true"),
        ("ddp_notebook_find_unused_parameters_true", "ddp_find_unused_parameters_true"),
    ],
)
@pytest.mark.parametrize("command", ["pretrain", "finetune", "eval", "caption", "data_cache"])
def test_a_strategy_whose_processes_keep_what_they_learn(command, strategy, instead):
    found = faults(command=command, trainer={"strategy": strategy})
    faults_mention(found, (f"trainer.strategy={strategy}: ",))
    assert found[0].endswith(f" trainer.strategy={instead}")
    assert not faults(command=command, trainer={"strategy": instead})


@pytest.mark.parametrize(
    ("rate", "nearest"), [(11025, 11000), (22050, 22000), (16001, 16000), (101, 100)]
)
def test_a_sample_rate_that_is_not_possible_names_the_nearest(rate, nearest):
    found = [
        f
        for f in cross_field_faults({"command": "finetune", "sample_rate": rate})
        if f.startswith("sample_rate")
    ]
    faults_mention(found, ("sample_rate: ", rate, f"sample_rate={nearest},"))
    assert not [
        f
        for f in cross_field_faults({"command": "finetune", "sample_rate": nearest})
        if "sample_rate" in f
    ]
