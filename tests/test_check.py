import inspect
import re

import pytest

from mmtx_cli.check import check, component_faults, type_fault
from mmtx_cli.error import ConfigError
from mmtx_cli.hint import nearest
from mmtx_cli.limits import PART_BOUNDS
from mmtx_cli.meaning import meaning_faults
from mmtx_cli.override import conf_dir
from mmtx_cli.signature import signature_of

IMAGE = {"_target_": "mmtx_cli.encoder.image.vit.ImageViT", "image_size": 32}
TEXT = {
    "_target_": "mmtx_cli.encoder.text.transformer.TextTransformer",
    "vocab_size": None,
    "max_length": 16,
}
FUSION = {"_target_": "mmtx_cli.fusion.concat.ConcatFusion", "dim": 16}
CAPTIONING = {
    "_target_": "mmtx_cli.head.captioning.CaptioningHead",
    "dim": 16,
    "vocab_size": None,
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


def test_every_fault_is_told_at_once():
    found = faults(
        seed="x",
        encoder={"image": {**IMAGE, "dept": 3}},
        fusion=None,
        head={"captioning": {**CAPTIONING, "num_beams": "many"}},
        data={"batchsize": 3, "augment": {"flop": 1, "color": "red"}},
        optimizer={"lr": -1},
        trainer={"max_epoch": 3, "early_stopping": {"patience": 0}},
        freeze=["encoder.imag"],
    )
    assert found == [
        "seed: 'x' is not of type int",
        "encoder.image.dept: unknown key; did you mean 'depth'?",
        "head.captioning.num_beams: 'many' is not of type int",
        "data.batchsize: unknown key; did you mean 'batch_size'?",
        "data.augment.flop: unknown key; did you mean 'flip'?",
        "data.augment.color: 'red' is not of type float",
        "trainer.max_epoch: unknown key; did you mean 'max_epochs'?",
        "optimizer.lr: -1 is out of bounds; write a number from 0 up",
        "trainer.early_stopping.patience: 0 is out of bounds; write a number from 1 up",
        "fusion: none is chosen; write for example fusion=concat",
        "data.path: no data; write data.path=MANIFEST.jsonl or data=scenes",
        "freeze: the model has no part 'encoder.imag'; did you mean 'encoder.image'?",
    ]


def test_a_wrong_value_that_many_parts_share_is_told_once():
    shared = {
        "fusion": {**FUSION, "dim": "abc"},
        "head": {"captioning": {**CAPTIONING, "dim": "abc"}},
    }
    assert faults(dim="abc", **shared) == ["dim: 'abc' is not of type int | None"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resume": "yes"}, "resume: 'yes' is not of type bool"),
        ({"freeze": "encoder"}, "freeze: 'encoder' is no list; write freeze=[encoder]"),
        ({"encoder": {}}, "encoder: no encoder is chosen; write for example encoder/image=vit"),
        ({"encoder": {"image": None}}, "encoder: no encoder is chosen"),
        ({"head": {}}, "head: no head is chosen; write for example head=captioning"),
        ({"data": {}}, "data.path: no data"),
        ({"data": {"path": ""}}, "data.path: no data"),
        ({"trainer": 3}, "trainer: 3 is no section; set its keys one by one: trainer.KEY=VALUE"),
        ({"encoder": {"image": {"depth": 3}, "text": TEXT}}, "write encoder/image=NAME (cnn, "),
        ({"encoder": {"image": "vit", "text": TEXT}}, "encoder.image: no component is chosen"),
        (
            {"head": {"captioning": CAPTIONING, "captionin": {"depth": 1}}},
            "head.captionin: no component is chosen here; did you mean 'head.captioning'?",
        ),
        (
            {"head": {"captioning": {**CAPTIONING, "reads": "image"}}},
            "head.captioning.reads: 'image' is not of type Sequence[str] | None",
        ),
        ({"fusion": {"_target_": FUSION["_target_"]}}, "fusion.dim: required and not set"),
        ({"fusion": {**FUSION, "modalities": []}}, "fusion.modalities: unknown key"),
        ({"fusion": CAPTIONING}, "it is no fusion"),
        ({"freeze": ["text"]}, "freeze: the model has no part 'text'; there are: encoder, "),
    ],
)
def test_what_is_wrong_is_told_with_what_to_write(changes, message):
    (fault,) = faults(**changes)
    assert message in fault


def test_deeper_parts_may_be_frozen():
    assert faults(freeze=["encoder", "encoder.image.blocks.0", "head.captioning", "fusion"]) == []


def test_values_that_the_data_fill_in_may_be_open():
    assert faults(encoder={"text": TEXT}, data={"path": "x", "text": "text"}) == []


def test_a_head_may_not_read_what_it_is_to_say():
    both, data = {"image": IMAGE, "text": TEXT}, {"path": "x", "text": "captions"}
    (fault,) = faults(encoder=both, data=data)
    assert fault == (
        "head.captioning: would read the captions it is to produce (data.text=captions); "
        "set head.captioning.reads=[image]"
    )
    for reads in (["text"], ["image", "fused"]):
        assert len(faults(encoder=both, data=data, head={"c": {**CAPTIONING, "reads": reads}})) == 1
    assert faults(encoder=both, data=data, head={"c": {**CAPTIONING, "reads": ["image"]}}) == []
    assert faults(encoder=both, data=data, head={"c": CONTRASTIVE}) == []
    assert faults(encoder={"image": IMAGE}, data=data) == []


DECISION = {"_target_": "mmtx_cli.fusion.decision.DecisionFusion", "dim": 16}
BOTH = {"image": IMAGE, "text": TEXT}


def test_nobody_votes_on_captions():
    assert faults(encoder=BOTH, fusion=DECISION) == [
        "head.captioning: fusion=decision joins nothing, and captions cannot be voted on; choose "
        "another fusion, or one modality: head.captioning.reads=[image]"
    ]
    chosen = {"captioning": {**CAPTIONING, "reads": ["image"]}}
    assert faults(encoder=BOTH, fusion=DECISION, head=chosen) == []
    assert faults(fusion=DECISION) == []
    assert faults(encoder=BOTH, fusion=DECISION, head={"contrastive": CONTRASTIVE}) == []


def test_what_a_head_says_in_words():
    answering = {"answering": {**CAPTIONING, "says": "answers"}}
    captions = {"path": "x", "text": "captions"}
    assert faults(encoder=BOTH, head=answering) == []
    # the captions are not what it is to produce
    assert faults(encoder=BOTH, head=answering, data=captions) == []
    (fault,) = faults(encoder=BOTH, fusion=DECISION, head=answering)
    assert fault.startswith("head.answering: fusion=decision joins nothing, and answers cannot be")
    assert faults(head={"h": {**CAPTIONING, "says": "answer"}}) == [
        "head.h.says: 'answer'; did you mean 'answers'? there are: captions, answers"
    ]
    assert faults(head={"h": {**CAPTIONING, "says": 3}})[0] == ("head.h.says: 3 is not of type str")


def test_a_question_is_for_a_model_that_hears_it():
    answering = {"h": {**CAPTIONING, "says": "answers"}}
    deaf = {"h": {**CAPTIONING, "says": "answers", "reads": ["image"]}}
    asked = {"command": "caption", "text": "what is it?"}
    silent = {"command": "caption", "text": None}
    assert faults(encoder=BOTH, head=answering, **asked) == []
    assert faults(encoder=BOTH, **asked) == []
    assert faults(encoder=BOTH, **silent) == []
    assert faults(head=answering, **silent) == []
    unheard = ["text: no head of this model that says something reads a text; leave it out"]
    assert faults(head=answering, **asked) == unheard
    assert faults(encoder=BOTH, head=deaf, **asked) == unheard
    assert faults(encoder=BOTH, head=answering, **silent) == [
        "text: this model answers questions; ask one, e.g. text='what colour is it?'"
    ]
    assert faults(command="caption", text=["a"])[0].startswith("text: ['a'] is not of type str")


@pytest.mark.parametrize(
    ("name", "key"),
    [("cross_attention", "query"), ("gated_cross_attention", "context"), ("film", "condition")],
)
def test_a_fusion_names_modalities_that_there_are(name, key):
    cls = "".join(part.title() for part in name.split("_")) + "Fusion"
    fusion = {"_target_": f"mmtx_cli.fusion.{name}.{cls}", "dim": 16, key: ["txt", "image"]}
    assert faults(encoder=BOTH, fusion=fusion) == [
        f"fusion.{key}: there is no encoder of 'txt'; did you mean 'text'?"
    ]


def test_a_text_encoder_must_have_something_to_read():
    both, mute = {"image": IMAGE, "text": TEXT}, {"path": "x", "text": None}
    (fault,) = faults(encoder=both, data=mute)
    assert fault.startswith("encoder.text: has nothing to read")
    # an inherited text encoder that no head looks at
    assert faults(encoder=both, data=mute, head={"c": {**CAPTIONING, "reads": ["image"]}}) == []


EVIL = {"_target_": "os.system", "_args_": ["true"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_target_": "os.system"}, "encoder.image._target_: 'os.system' is outside mmtx"),
        ({"mean": EVIL}, "encoder.image.mean._target_: 'os.system' is outside mmtx"),
        ({"mean": [0.5, EVIL]}, "encoder.image.mean[1]._target_: 'os.system' is outside"),
        ({"mean": {"a": {"b": [EVIL]}}}, "encoder.image.mean.a.b[0]._target_: 'os.system'"),
        ({"mean": {**FUSION, "dim": EVIL}}, "encoder.image.mean.dim._target_: 'os.system'"),
        ({"_args_": [EVIL]}, "encoder.image._args_[0]._target_: 'os.system'"),
        ({"_args_": [1]}, "encoder.image._args_: unknown key"),
        ({"_partial_": True}, "encoder.image._partial_: unknown key"),
        ({"_recursive_": True}, "encoder.image._recursive_: unknown key"),
        ({"mean": "${oc.create:{_target_:os.system}}"}, "is an interpolation that was not reso"),
        ({"_target_": ["os.system"]}, "is no dotted path"),
        ({"mean": {"_target_": "mmtx_cli.cli.main"}}, "has no class 'main'"),
    ],
)
def test_no_target_hides_from_the_check(change, message):
    found = list(component_faults(config(encoder={"image": {**IMAGE, **change}})))
    assert any(message in fault for fault in found), found


def test_a_trusted_package_may_be_nested_and_hydras_own_keys_may_not(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_parts.py").write_text(
        "class Part:\n    def __init__(self, size: int, **more): ...\n"
    )
    part = {"_target_": "own_parts.Part", "size": 3, "anything": 1}
    trusting = {"trusted_packages": ["own_parts"]}
    assert faults(encoder={"image": {**part, "inner": [part]}}, **trusting) == []
    assert faults(encoder={"image": {**part, "size": "x"}}, **trusting) == [
        "encoder.image.size: 'x' is not of type int"
    ]
    (fault,) = faults(encoder={"image": {**part, "inner": {**part, "_args_": [1]}}}, **trusting)
    assert fault.startswith("encoder.image.inner._args_: unknown key")
    (fault,) = faults(encoder={"image": part})
    assert fault.endswith("if you trust it, add trusted_packages=[own_parts]")


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
    assert nearest("dept", ["depth", "width"]) == "did you mean 'depth'?"
    assert nearest("zzz", ["depth", "width"]) == "there are: depth, width"
    assert nearest("dept", ["depth"], full=True) == "did you mean 'depth'? there are: depth"
    assert nearest("zzz", []) == "there are none"


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
        ("head.captioning.num_beams", 0),
        ("head.captioning.length_penalty", 30),
        ("head.captioning.weight", -1),
    ],
)
def test_a_number_of_a_part_that_cannot_be_is_told_with_its_bounds(path, value):
    *where, name = path.split(".")
    changed = {"encoder": {"image": {**IMAGE}}, "fusion": {**FUSION}, "head": {"captioning": {}}}
    changed["head"]["captioning"] = {**CAPTIONING}
    node = changed
    for key in where:
        node = node[key]
    node[name] = value
    (fault,) = faults(**changed)
    assert fault.startswith(f"{path}: {value} is out of bounds; write a number from ")


def test_a_part_of_another_package_has_its_own_bounds(tmp_path, monkeypatch):
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
    for path in sorted(conf_dir().glob("encoder/*/*.yaml")) + sorted(
        path for group in ("fusion", "head") for path in conf_dir().glob(f"{group}/*.yaml")
    ):
        target = re.search(r"_target_: (\S+)", path.read_text())
        for name, parameter in signature_of(target[1], ()).parameters.items():
            kinds = {part.strip() for part in str(parameter.annotation).split("|")} - {"None"}
            if kinds and kinds <= {"int", "float"} and name not in {*FILLED, "mean", "std"}:
                assert name in PART_BOUNDS, f"{path.stem}: {name}"


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
    (fault,) = faults(command=command, trainer={"strategy": strategy})
    assert fault.startswith(f"trainer.strategy={strategy}: its processes are copies of one")
    assert fault.endswith(f"write trainer.strategy={instead}")
    assert not faults(command=command, trainer={"strategy": instead})


@pytest.mark.parametrize(
    ("rate", "nearest"), [(11025, 11000), (22050, 22000), (16001, 16000), (101, 100)]
)
def test_a_sample_rate_that_is_not_possible_names_the_nearest(rate, nearest):
    (fault,) = [
        f
        for f in meaning_faults({"command": "finetune", "sample_rate": rate})
        if f.startswith("sample_rate")
    ]
    assert f"write sample_rate={nearest}, to which files of any rate are resampled" in fault
    assert not [
        f
        for f in meaning_faults({"command": "finetune", "sample_rate": nearest})
        if "sample_rate" in f
    ]
