import re

import pytest
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import nn

from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.model.initialize import load_initial
from mmtx_cli.runs.inherit import has_weights, inherit, inherit_data, inherited_generation
from tests.messages import mentions, raises

STORED = {
    "model": {
        "dim": 16,
        "encoder": {"image": {"_target_": "vit", "depth": 2}, "text": {"_target_": "transformer"}},
        "fusion": {"_target_": "concat", "dim": 16},
        "head": {"captioning": {"_target_": "captioning", "max_length": 9}},
        "generation": {"num_beams": 5, "do_sample": False},
    },
    "preparation": {"image_size": 32, "resize_mode": "squash", "text": "captions", "max_length": 8},
    "data": {"path": "x.jsonl"},
}


ENCODERS = {
    "image": {"_target_": "mmtx_cli.encoder.image.timm.TimmImageEncoder"},
    "audio": {"_target_": "mmtx_cli.encoder.audio.waveform.WaveformAudioEncoder"},
}


def inherited(stored=STORED, **given):
    cfg = OmegaConf.create({"ckpt": "RUN", "dim": None, "image_size": None, **given})
    inherit(cfg, stored)
    return OmegaConf.to_container(cfg)


def test_where_nothing_is_chosen_all_is_taken_over():
    cfg = inherited()
    assert {key: cfg[key] for key in STORED["model"]} == STORED["model"]
    assert (cfg["image_size"], cfg["max_length"]) == (32, 8)
    assert cfg["data"] == {
        "resize_mode": "squash",
        "text": "captions",
        "frame_sampling": "uniform",
        "fps": None,
        "max_patches": 256,
    }
    assert cfg["num_frames"] == 8, "what an older model does not say is as it was then"


def test_single_keys_change_what_is_taken_over():
    cfg = inherited(
        encoder={"image": {"depth": 5}},
        fusion={"depth": 1},
        head={"captioning": {"weight": 2}},
        generation={"num_beams": 1},
        data={"text": None},
    )
    assert cfg["encoder"]["image"] == {"_target_": "vit", "depth": 5}
    assert cfg["encoder"]["text"] == {"_target_": "transformer"}
    assert cfg["fusion"] == {"_target_": "concat", "dim": 16, "depth": 1}
    assert cfg["head"] == {"captioning": {"_target_": "captioning", "max_length": 9, "weight": 2}}
    assert cfg["generation"] == {"num_beams": 1}
    assert (cfg["dim"], cfg["data"]["text"]) == (16, None)


def test_sizes_that_cannot_change_are_refused():
    with raises(ConfigError, "dim=8: ", "ckpt", " 16"):
        inherited(dim=8)
    stored = {**STORED, "model": {**STORED["model"], "encoder": dict(ENCODERS)}}
    for given, parts in (
        ({"sample_rate": 8000}, ["sample_rate=8000: encoder.audio ", " 16000", "encoder/audio="]),
        ({"image_size": 64}, ["image_size=64: encoder.image ", " 32", "encoder/image="]),
    ):
        with raises(ConfigError, *parts):
            inherited(stored, **given)
        ((key, value),) = given.items()
        other = {"audio" if key == "sample_rate" else "image": {"_target_": "other"}}
        assert inherited(stored, **given, encoder=other)[key] == value


def test_new_choices_replace_inherited_ones():
    cfg = inherited(
        encoder={"image": {"_target_": "cnn"}},
        fusion={"_target_": "decision"},
        head={"classification": {"_target_": "classification"}},
    )
    assert cfg["encoder"]["image"] == {"_target_": "cnn"}
    assert cfg["fusion"] == {"_target_": "decision"}
    assert cfg["head"] == {"classification": {"_target_": "classification"}}


def test_an_encoder_can_be_left_out():
    assert inherited(encoder={"text": None})["encoder"]["text"] is None


def test_what_is_no_component_is_left_to_the_check():
    cfg = inherited(encoder={"image": "vit", "audio": {"depth": 1}}, fusion="concat", head={"c": 3})
    assert cfg["encoder"]["image"] == "vit"
    assert cfg["encoder"]["audio"] == {"depth": 1}
    assert (cfg["fusion"], cfg["head"]) == ("concat", {"c": 3})


@pytest.mark.parametrize("key", ["model", "preparation", "data"])
def test_a_stored_config_may_hold_no_interpolation(key):
    cfg = OmegaConf.create({"ckpt": "RUN"})
    tampered = {**STORED, key: {**STORED[key], "x": ["${oc.env:HOME}"]}}
    with raises(CheckpointError, "ckpt=RUN: ", "config", "interpolations"):
        inherit(cfg, tampered)


class Classifier(nn.Linear):
    traits = HeadTraits()


class Model(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.encoder = nn.ModuleDict({name: nn.Linear(2, 2) for name in ("image", "text")})
        self.head = nn.ModuleDict({"label": Classifier(2, 3)})
        for parameter in self.parameters():
            nn.init.constant_(parameter, value)


def test_starts_from_trained_weights_except_newly_chosen_ones(tmp_path, capsys):
    model, trained = Model(0.0), Model(1.0)
    state = {**trained.state_dict(), "head.label.weight": trained.head["label"].weight[:2].clone()}
    save_file(state, tmp_path / "model.safetensors")
    load_initial(model, str(tmp_path), {"text"})
    assert (model.encoder["image"].weight == 1).all()
    assert (model.encoder["text"].weight == 0).all()
    assert (model.head["label"].weight == 0).all(), "of another shape"
    mentions(capsys.readouterr().out, "ckpt: ", "3 of 6 tensors", ": head.label")


def test_an_image_encoder_within_another_begins_with_the_one_that_was_trained(tmp_path, capsys):
    model, trained = Model(0.0), Model(1.0)
    model.encoder["video"] = nn.ModuleDict({"image": nn.Linear(2, 2), "time": nn.Linear(2, 2)})
    for each, names in ((model, ("image", "video", "text")), (trained, ("image",))):
        each.project = nn.ModuleDict({name: nn.Linear(2, 2) for name in names})
    before = model.encoder["video"]["time"].weight.clone()
    save_file(trained.state_dict(), tmp_path / "model.safetensors")
    load_initial(model, str(tmp_path), set())
    assert (model.encoder["video"]["image"].weight == 1).all()
    assert (model.encoder["video"]["time"].weight == before).all()
    assert (model.project["video"].weight == trained.project["image"].weight).all()
    assert (model.project["text"].weight != trained.project["image"].weight).any()
    assert re.search(r"encoder\.video\.image: .*encoder\.image\b", capsys.readouterr().out)


def test_weights_may_stand_in_an_encoder_within():
    assert has_weights({"_target_": "x", "weights": "y.pth"})
    assert has_weights({"image": {"weights": "default"}})
    assert not has_weights({"weights": None, "image": {"depth": 3}})
    assert not has_weights(None)


@pytest.mark.parametrize(
    ("stored", "chosen", "expected"),
    [
        ({"num_beams": 5, "length_penalty": 0.6}, {}, {"num_beams": 5, "length_penalty": 0.6}),
        ({"num_beams": 5}, {"do_sample": True, "top_p": 0.9}, {"do_sample": True, "top_p": 0.9}),
        ({"num_beams": 5}, {"penalty_alpha": 0.6}, {"penalty_alpha": 0.6}),
        ({"num_beams": 5, "early_stopping": True}, {"num_beams": 1}, {"num_beams": 1}),
        ({"do_sample": True, "top_k": 5, "seed": 1}, {"num_beams": 2}, {"num_beams": 2, "seed": 1}),
        ({"num_beams": 5}, {"min_new_tokens": 2}, {"num_beams": 5, "min_new_tokens": 2}),
    ],
)
def test_another_search_replaces_the_settings_of_the_stored_one(stored, chosen, expected):
    assert OmegaConf.to_container(inherited_generation(stored, chosen)) == expected


def test_a_url_in_a_trained_model_is_not_fetched_unless_it_is_given():
    url = "https://name:word@host/folder"
    stored = {"data": {"path": "x.jsonl", "root": url, "mixture": None}}
    with raises(ConfigError, "ckpt=RUN: ", "host/folder", "set data.root=") as error:
        inherit_data(OmegaConf.create({"ckpt": "RUN", "data": {}}), stored)
    assert "word" not in str(error.value)
    for given in ({"root": url}, {"root": "/local"}, {"path": "other.jsonl"}):
        cfg = OmegaConf.create({"ckpt": "RUN", "data": given})
        inherit_data(cfg, stored)
        assert cfg.data == {
            "path": "x.jsonl",
            **({"mixture": None} if "root" in given else {}),
            **given,
        }
    corpora = {"data": {"path": None, "mixture": [{"name": "a", "path": "a.jsonl", "root": url}]}}
    with raises(ConfigError, "set data.mixture="):
        inherit_data(OmegaConf.create({"ckpt": "RUN", "data": {}}), corpora)
