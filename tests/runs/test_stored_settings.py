"""Two configurations that compute the same have the same settings."""

import pytest
import yaml

from mmtx_cli.errors import DataError
from mmtx_cli.runs.stored_settings import settings_of
from tests.messages import raises

VIT = "mmtx_cli.encoder.image.vit.ViTImageEncoder"
FRAMES = "mmtx_cli.encoder.video.per_frame.PerFrameVideoEncoder"
PLAIN = {
    "seed": 1,
    "encoder": {"image": {"_target_": VIT, "image_size": 32}},
    "fusion": {"_target_": "mmtx_cli.fusion.concat.ConcatFusion", "dim": 16},
    "head": {"c": {"_target_": "mmtx_cli.head.classification.ClassificationHead", "dim": 16}},
    "data": {"path": "/data/a.jsonl"},
    "optimizer": {},
    "trainer": {"max_steps": 5},
    "logger": {},
}


def found(folder, **changes):
    folder.mkdir()
    (folder / "result.json").write_text("{}")
    (folder / "config.yaml").write_text(yaml.safe_dump({**PLAIN, **changes}))
    return {k: v for k, v in settings_of(folder).items() if v is not None}


def image(**more):
    return {"image": {**PLAIN["encoder"]["image"], **more}}


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {**PLAIN["data"], "batch_size": 32}},
        {"data": {**PLAIN["data"], "augment": {"flip": False}, "modality_dropout_by": {}}},
        {"data": {**PLAIN["data"], "root": "/data", "eval_batch_size": 32}},
        {"optimizer": {"betas": [0.9, 0.98], "lr": 0.001}},
        {"trainer": {"max_steps": 5, "max_epochs": 3, "gradient_clip_val": 1.0}},
        {"encoder": image(patch_size=16, dropout=0.0)},
        {"encoder": {**image(), "text": None}},
    ],
)
def test_a_default_that_is_spelt_out_changes_nothing(tmp_path, changes):
    assert found(tmp_path / "explicit", **changes) == found(tmp_path / "plain")


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {**PLAIN["data"], "batch_size": 16}},
        {"data": {**PLAIN["data"], "root": "/other"}},
        {"optimizer": {"lr": 0.01}},
        {"trainer": {"max_steps": 6}},
        {"trainer": {"max_steps": 5, "early_stopping": {}}},
        {"encoder": image(depth=3)},
    ],
)
def test_another_value_is_another_setting(tmp_path, changes):
    assert found(tmp_path / "explicit", **changes) != found(tmp_path / "plain")


def test_defaults_of_a_section_and_of_a_component_within_others(tmp_path):
    stopping = {"max_steps": 5, "early_stopping": {"patience": 5}}
    frames = {"video": {"_target_": FRAMES, "image": PLAIN["encoder"]["image"]}}
    deeper = {"video": {"_target_": FRAMES, "image": image(patch_size=16)["image"]}}
    mixture = {"mixture": [{"name": "a", "path": "/a"}]}
    spelt = {"mixture": [{"name": "a", "path": "/a", "weight": None, "allow_outside_root": False}]}
    for i, (one, other) in enumerate(
        [
            ({"trainer": {**stopping, "early_stopping": {}}}, {"trainer": stopping}),
            ({"encoder": frames}, {"encoder": deeper}),
            ({"data": mixture}, {"data": spelt}),
        ]
    ):
        assert found(tmp_path / f"a{i}", **one) == found(tmp_path / f"b{i}", **other)


def test_a_setting_or_a_component_that_this_version_does_not_know_is_kept(tmp_path):
    gone = {"_target_": "gone_package.encoder.Image", "width": 3}
    settings = found(tmp_path / "old", data={"path": "/a", "old": 1}, encoder={"image": gone})
    assert settings["data.old"] == 1
    assert settings["encoder.image.width"] == 3


def test_a_run_that_is_not_finished(tmp_path):
    with raises(DataError, tmp_path, "finished", "resume=true"):
        settings_of(tmp_path)
