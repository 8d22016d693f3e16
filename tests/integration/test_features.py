"""Published features as they are: imported, checked, trained on and evaluated by commands."""

import json
from pathlib import Path

import pytest

from mmtx_cli.io.checkpoint import read_config
from tests.command_line import error_message, mmtx, refused, succeeded
from tests.data.importer import mmimdb_file, mmsa_file
from tests.messages import mentions

pytestmark = pytest.mark.xdist_group("features")  # so that the import is done once

SMALL = ("width=16", "depth=1", "num_heads=2")
COMMON = (
    "dim=16",
    "data.batch_size=6",
    "data.num_workers=0",
    "trainer.accelerator=cpu",
    "trainer.max_steps=4",
    "trainer.progress=false",
)


def encoders(*modalities: str) -> list[str]:
    return [
        *(f"encoder/{name}=precomputed" for name in modalities),
        *(f"encoder.{name}.{size}" for name in modalities for size in SMALL),
    ]


def result(run: Path) -> dict:
    return json.loads((run / "result.json").read_text())


@pytest.fixture(scope="module")
def mosi(tmp_path_factory) -> str:
    """The manifest of a small feature file of MMSA's layout, made by the command."""
    folder = tmp_path_factory.mktemp("mosi")
    source = mmsa_file.write(folder / "unaligned.pkl", mmsa_file.mmsa())
    args = ("action=import", "importer=mmsa", f"source={source}", f"out={folder}/mosi.jsonl")
    return str(succeeded(mmtx("data", *args)))


@pytest.fixture(scope="module")
def trained(mosi, tmp_path_factory) -> Path:
    """A run on all three modalities, in two processes that read."""
    run = tmp_path_factory.mktemp("run") / "run"
    args = [f"data.path={mosi}", *encoders("text", "audio", "video"), *COMMON, f"run_dir={run}"]
    args += ["fusion=concat", "head=regression", "data.num_workers=2", "max_feature_length=6"]
    return succeeded(mmtx("finetune", *args))


def test_check_reads_the_features(mosi):
    done = mmtx("data", "action=check", f"manifest={mosi}", "decode=true")
    assert succeeded(done) == Path(mosi)
    assert "features.video" in done.stdout


def test_what_a_model_knows_of_its_features(trained):
    config = read_config(str(trained))
    widths = {name: node["num_features"] for name, node in config["model"]["encoder"].items()}
    assert widths == {"text": 6, "audio": 4, "video": 3}
    assert config["preparation"]["features"] == widths
    assert config["preparation"]["max_feature_length"] == 6


def test_the_scale_of_the_training_rows_is_in_the_weights(trained):
    from safetensors.numpy import load_file

    weights = load_file(trained / "model" / "model.safetensors")
    for name, width in {"text": 6, "audio": 4, "video": 3}.items():
        deviation = weights[f"encoder.{name}.deviation"]
        assert deviation.shape == (width,)
        assert (deviation > 0.3).all()
        assert (deviation < 2).all()
        assert weights[f"encoder.{name}.mean"].any()


@pytest.mark.slow
def test_evaluated_with_every_subset_of_the_modalities(trained, tmp_path):
    args = (f"ckpt={trained}", "modality_subsets=all", "bootstrap=10", f"run_dir={tmp_path}/eval")
    found = succeeded(mmtx("eval", *args))
    whole = result(found)
    assert whole["count"] == mmsa_file.SIZES["test"]
    assert len(whole["subsets"]) == 7
    figures = {
        subset: part["metrics"]["regression/mae"] for subset, part in whole["subsets"].items()
    }
    assert figures["text + video + audio"] == whole["metrics"]["regression/mae"]
    assert len(set(figures.values())) == 7
    rows = [json.loads(line) for line in (found / "predictions.jsonl").read_text().splitlines()]
    assert rows[0]["inputs"]["features"]["audio"]["key"] == rows[0]["id"]
    # a model folder alone does it, too, and says the same
    args = (f"ckpt={trained}/model", f"run_dir={tmp_path}/again", "bootstrap=10")
    assert result(succeeded(mmtx("eval", *args)))["metrics"] == whole["metrics"]


@pytest.mark.slow
def test_features_beside_words(mosi, tmp_path):
    """The text is read as words, the sound as features; the run goes on where it stopped."""
    words = ["encoder/text=transformer", *(f"encoder.text.{size}" for size in SMALL)]
    args = [f"data.path={mosi}", *words, *encoders("audio"), *COMMON, "encoder.audio.depth=0"]
    args = [a for a in args if a != "encoder.audio.depth=1"]
    args += ["fusion=gated", "head=regression", "max_length=8", f"run_dir={tmp_path}/run"]
    run = succeeded(mmtx("finetune", *args))
    assert result(run)["steps"] == 4
    more = ("resume=true", f"run_dir={run}", "trainer.max_steps=6")
    assert result(succeeded(mmtx("finetune", *more)))["steps"] == 6


def test_a_model_refuses_features_of_another_size(trained, tmp_path):
    import numpy as np

    content = mmsa_file.mmsa()
    for fields in content.values():
        fields["audio"] = np.concatenate([fields["audio"], fields["audio"][..., :1]], axis=2)
    source = mmsa_file.write(tmp_path / "wide.pkl", content)
    args = ("action=import", "importer=mmsa", f"source={source}", f"out={tmp_path}/wide.jsonl")
    wide = succeeded(mmtx("data", *args))
    message = refused("eval", f"ckpt={trained}", f"data.path={wide}", f"run_dir={tmp_path}/eval")
    file = f"{tmp_path}/wide_features/train_audio.safetensors"
    mentions(
        message, f"{wide}:1: features.audio: {file}", " 5 ", "encoder.audio.num_features", " 4"
    )


def test_modalities_that_the_manifest_has_no_features_of(mosi):
    message = error_message(
        mmtx("finetune", f"data.path={mosi}", "encoder/image=precomputed", *COMMON, "fusion=concat",
             "head=regression")
    )  # fmt: skip
    mentions(message, f"{mosi}: ", "features.image", "encoder/image=precomputed")


def test_a_hostile_pickle_is_refused(tmp_path):
    import os

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/mark",)

    source = mmsa_file.write(tmp_path / "evil.pkl", {"train": Hostile()})
    args = ("action=import", "importer=mmsa", f"source={source}", f"out={tmp_path}/m.jsonl")
    mentions(refused("data", *args), "evil.pkl: ", "posix.system")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pkl"]


@pytest.mark.slow
def test_films_and_their_genres_from_hdf5(tmp_path):
    source = mmimdb_file.write(tmp_path / "multimodal_imdb.hdf5", nan_rows=[2])
    args = ("action=import", "importer=mmimdb", f"source={source}", f"out={tmp_path}/mmimdb.jsonl")
    manifest = succeeded(mmtx("data", *args))
    args = [f"data.path={manifest}", *encoders("text", "image"), *COMMON, "data.num_workers=2"]
    args += ["fusion=gated", "head=classification", f"run_dir={tmp_path}/run"]
    run = succeeded(mmtx("finetune", *args))
    args = (f"ckpt={run}", "modality_subsets=all", "bootstrap=10", f"run_dir={tmp_path}/eval")
    found = result(succeeded(mmtx("eval", *args)))
    assert set(found["subsets"]) == {"text + image", "text", "image"}
    assert found["count"] == mmimdb_file.SIZES["test"]
