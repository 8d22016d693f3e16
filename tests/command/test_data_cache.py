"""Training on kept outputs is training on what the encoders would make of the files themselves."""

import csv
import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from mmtx_cli.cli import main
from mmtx_cli.command.demo import run_step
from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.overrides import force_add
from mmtx_cli.data.cache.module_outputs import open_parts
from mmtx_cli.data.cache.writer import ShardWriter
from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.encoder.base import Encoder
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.io.quoting import quoted
from mmtx_cli.layer.frozen_teacher import FrozenTeacher
from mmtx_cli.synthetic.events.make import make_events
from tests.messages import faults_mention, mentions, raises

SIZES = ("width=16", "depth=1", "num_heads=2")
ENCODERS = {
    "text": ("encoder/text=transformer",),
    "image": ("encoder/image=vit", "encoder.image.patch_size=16"),
    "video": ("encoder/video=vit", "encoder.video.patch_size=16"),
    "audio": ("encoder/audio=spectrogram_cnn", "encoder.audio.channels=[4,4,8,8]"),
}
DATA_ARGS = (
    "dim=16",
    "image_size=32",
    "num_frames=4",
    "audio_seconds=3",
    "max_length=24",
    "data.text=captions",
    "data.batch_size=4",
    "data.num_workers=0",
    "trainer.accelerator=cpu",
    *(arg for args in ENCODERS.values() for arg in args),
    *(f"encoder.{name}.{size}" for name in ENCODERS for size in SIZES),
)
TRAINED = (
    "fusion=concat",
    "head=classification",
    "trainer.max_steps=6",
    "trainer.log_every=1",
    "trainer.val_every=3",
    "trainer.progress=false",
)
ALL_PARTS = [f"encoder.{name}" for name in ENCODERS]
FROZEN = f"freeze=[{','.join(f'encoder.{name}' for name in ENCODERS)}]"


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> Path:
    """Films with sound and pictures; every third row lacks a modality."""
    path = make_events(tmp_path_factory.mktemp("cache") / "events", num=20, size=32)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for i, row in enumerate(rows[::3]):
        for key in (("captions",), ("image",), ("video",), ("audio",))[i % 4]:
            del row[key]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(autouse=True)
def _hydra():
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        yield


@pytest.fixture
def data(events, tmp_path) -> Path:
    """A copy of the data set that a test may change."""
    return Path(shutil.copytree(events.parent, tmp_path / "data")) / events.name


def cached(folder: Path, manifest: Path, *args: str) -> Path:
    """Run ``mmtx data action=cache``."""
    from mmtx_cli.command.data_cache import run

    given = [*DATA_ARGS, f"data.path={quoted(manifest)}", f"out={quoted(folder)}", *args]
    cfg = compose("data_cache", force_add(given))
    OmegaConf.set_struct(cfg, False)
    run(cfg)
    return folder


def trained(folder: Path, manifest: Path, *args: str) -> Path:
    """Run ``mmtx finetune``."""
    return run_step(
        folder, "finetune", [*DATA_ARGS, *TRAINED, f"data.path={quoted(manifest)}", *args]
    )


def losses(run: Path) -> list[list[float]]:
    """Of every step and validation, one after the other."""
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if "loss" in name]
    assert any(name.startswith("val/") for name in names)
    return [[float(row[name]) for name in names if row[name]] for row in rows]


@pytest.fixture
def no_encoding(monkeypatch):
    """Fail if an encoder is run."""

    def refuse(self, *args, **kwargs):
        raise AssertionError(f"{type(self).__name__} was run")

    for kind in subclasses(Encoder):
        if "forward" in vars(kind):
            monkeypatch.setattr(kind, "forward", refuse)


def subclasses(kind):
    return [kind, *(inner for own in kind.__subclasses__() for inner in subclasses(own))]


def test_losses_are_those_of_training_without(data, tmp_path, monkeypatch, request, capsys):
    # a clip's place is drawn in training, and a cache holds the one of evaluation
    monkeypatch.setattr(ManifestDataset, "offset", lambda self, turn, row: None)
    plain = losses(trained(tmp_path / "plain", data, FROZEN))
    cache = cached(tmp_path / "cache", data)
    assert capsys.readouterr().out.splitlines()[-1] == str(cache)
    assert set(open_parts(cache)) == {f"encoder.{name}" for name in ENCODERS}

    request.getfixturevalue("no_encoding")
    where = f"data.cache={quoted(cache)}"
    kept = losses(trained(tmp_path / "kept", data, FROZEN, where))
    assert len(kept) == len(plain) > 6
    for mine, theirs in zip(kept, plain, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)


@pytest.mark.slow
def test_evaluation_is_that_without(data, tmp_path):
    cache = quoted(cached(tmp_path / "cache", data))
    run = quoted(trained(tmp_path, data, FROZEN, f"data.cache={cache}"))
    args = [
        f"ckpt={run}",
        "split=train",
        "bootstrap=10",
        "modality_subsets=all",
        "modality_importance=true",
    ]
    figures = []
    for name, more in (("plain", []), ("kept", [f"data.cache={cache}"])):
        found = run_step(tmp_path / name, "eval", [*args, "trainer.accelerator=cpu", *more])
        figures.append(json.loads((found / "result.json").read_text()))
    plain, kept = figures
    assert kept["metrics"] == pytest.approx(plain["metrics"], rel=1e-4)
    assert kept["subsets"].keys() == plain["subsets"].keys()
    for view, figure in plain["subsets"].items():
        assert kept["subsets"][view]["metrics"] == pytest.approx(figure["metrics"], rel=1e-4)
    # shuffled modalities are read as they are of another row
    for name, own in plain["contribution"]["classification"].items():
        theirs = kept["contribution"]["classification"][name]["shuffled"]["metrics"]
        assert theirs == pytest.approx(own["shuffled"]["metrics"], rel=1e-4)


@pytest.mark.slow
def test_flops_are_counted_without_the_cache(data, tmp_path):
    cache = quoted(cached(tmp_path / "cache", data, "modules=[encoder.image]"))
    run = quoted(trained(tmp_path, data, "freeze=[encoder.image]", f"data.cache={cache}"))
    args = [f"ckpt={run}", "trainer.accelerator=cpu", "bootstrap=10", "profile=true"]
    plain = run_step(tmp_path / "plain", "eval", args)
    kept = run_step(tmp_path / "kept", "eval", [*args, f"data.cache={cache}"])
    costs = [json.loads((p / "result.json").read_text())["cost"] for p in (plain, kept)]
    assert costs[0]["flops_per_sample"] == costs[1]["flops_per_sample"]


@pytest.mark.slow
def test_half_precision_is_close(data, tmp_path):
    only = ["modules=[encoder.image]", "freeze=[encoder.image]"]
    whole = cached(tmp_path / "whole", data, *only)
    half = cached(tmp_path / "half", data, *only, "dtype=bfloat16")
    there, rounded = (open_parts(folder)["encoder.image"] for folder in (whole, half))
    assert len(there) == len(rounded) > 5
    for i in range(len(there)):
        torch.testing.assert_close(rounded.read(i).float(), there.read(i), rtol=2**-8, atol=1e-6)
    trained(tmp_path, data, "freeze=[encoder.image]", f"data.cache={quoted(half)}")


@pytest.mark.slow
def test_other_settings_are_refused(data, tmp_path, monkeypatch):
    cache = cached(tmp_path / "cache", data)
    where = f"data.cache={quoted(cache)}"
    monkeypatch.setattr(sys, "argv", ["mmtx", "finetune", "dim=16", "++data.path=x.jsonl"])

    def refusal(*args):
        with pytest.raises((ConfigError, DataError)) as caught:
            trained(tmp_path, data, FROZEN, where, *args)
        assert not (tmp_path / "finetune").exists()
        return str(caught.value)

    place = f"data.cache={cache}: "
    for args, parts in (
        (["image_size=48"], ["image_size 32 ", ", 48 "]),
        (["seed=2"], ["weights of encoder.image", "seed 1 ", ", 2 "]),
        (["encoder.audio.depth=2"], ["encoder.audio.depth 1 ", ", 2 "]),
        (["num_frames=2"], ["num_frames 4 ", ", 2 "]),
        (["audio_seconds=1.0"], ["audio_seconds 3 ", ", 1.0 "]),
        (["data.tokenizer_vocab_size=280"], [f"{place}encoder.text: ", "tokenizer"]),
    ):
        mentions(refusal(*args), place, *parts)
    mentions(refusal("data.augment.flip=true"), "data.augment: ", "random", f"data.cache={cache}")
    message = refusal("freeze=[encoder.image,encoder.text,encoder.video]")
    mentions(message, "encoder.audio: ", f"data.cache={cache}", " freeze=[encoder.audio]")
    message = refusal(
        "head=masked_image",
        "fusion=decision",
        "head.masked_image.streams=[image,text,video,audio]",
        "encoder.image.stem=patch",
    )
    mentions(message, "head.masked_image: ", " image ", f"data.cache={cache}", "encoder.image")
    last = refusal("seed=2", "data.resize_mode=squash")
    mentions(last, "data.resize_mode crop ", ", squash ")
    assert last.endswith(
        f": mmtx data action=cache out={cache} dim=16 data.path=x.jsonl "
        f"'{FROZEN}' 'modules=[{','.join(ALL_PARTS)}]' overwrite=true"
    )


@pytest.mark.slow
def test_the_command_that_is_printed_makes_the_same_parts(data, tmp_path, monkeypatch, capfd):
    """With a configuration folder of one's own, two of four encoders, and half the bits."""
    own = tmp_path / "my conf"
    (own / "experiment").mkdir(parents=True)
    body = "# @package _global_\nmax_length: 24\n"
    (own / "experiment" / "mine.yaml").write_text(body)
    some = "modules=[encoder.text,encoder.image]"
    cache = cached(tmp_path / "cache", data, some, "dtype=float16", "freeze=[encoder.audio]")
    plain = [f"data.path={quoted(data)}", *DATA_ARGS, "seed=2"]
    typed = ["--config-dir", str(own), "experiment=mine", *plain, "head=classification"]
    monkeypatch.setattr(sys, "argv", ["mmtx", "finetune", *typed])
    with pytest.raises(ConfigError) as caught:
        trained(
            tmp_path,
            data,
            "freeze=[encoder.text,encoder.image]",
            f"data.cache={quoted(cache)}",
            "seed=2",
        )
    command = ["mmtx", *shlex.split(str(caught.value).rpartition(": mmtx ")[2])]
    assert command[1:3] == ["data", "action=cache"]
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", command)
    assert main(command[1:]) == 0, capfd.readouterr().err
    parts = open_parts(cache)
    assert {name: (part.card.dtype, part.card.seed) for name, part in parts.items()} == {
        "encoder.image": ("float16", 2),
        "encoder.text": ("float16", 2),
    }


def test_no_cache_and_a_cache_of_others(data, tmp_path):
    where = f"data.cache={quoted(tmp_path / 'nowhere')}"
    with raises(ConfigError, f"data.cache={tmp_path / 'nowhere'}: ", "cache", ": mmtx data action"):
        trained(tmp_path, data, FROZEN, where)
    cache = cached(tmp_path / "cache", data, "modules=[encoder.image]")
    with raises(ConfigError, f"data.cache={cache}: ", " encoder.image", "model"):
        trained(tmp_path, data, FROZEN, f"data.cache={quoted(cache)}", "encoder.image=null")


@pytest.mark.slow
def test_rows_that_changed_are_listed_and_brought_up_to_date(data, tmp_path, capfd):
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    Tokenizer.train([row["text"] for row in rows], 300).save(tmp_path / "words.json")
    words = f"data.tokenizer={quoted(tmp_path / 'words.json')}"  # new texts make no other one
    cache = cached(tmp_path / "cache", data, words)
    where = f"data.cache={quoted(cache)}"
    pictured = [row for row in rows if "image" in row and row["split"] == "train"]
    first, second, third = pictured[:3]
    os.utime(data.parent / first["image"], ns=(5, 5))
    shutil.copyfile(data.parent / first["image"], data.parent / "new.jpg")
    second["image"] = "new.jpg"
    third["captions"] = ["a sentence that was not there before"]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError) as caught:
        trained(tmp_path, data, FROZEN, where, words)
    faults = caught.value.faults
    assert len(faults) == 3
    for row, parts in (
        (first, ["file", "changed", "encoder.image"]),
        (second, ["encoder.image", "not cached"]),
        (third, ["encoder.text", "not cached"]),
    ):
        place = f"{data}:{1 + rows.index(row)}: {row['id']}: "
        faults_mention([f for f in faults if f.startswith(place)], (place, *parts, cache))
    mentions(faults[-1], ": mmtx data action=cache out=")

    capfd.readouterr()
    cached(cache, data, words)
    message = capfd.readouterr().err
    assert "encoder.image: 2 of " in message
    assert "encoder.text: 1 of " in message
    assert "encoder.audio: 0 of " in message
    trained(tmp_path, data, FROZEN, where, words)


def test_an_interruption_keeps_what_was_done(data, tmp_path, monkeypatch, capfd):
    from mmtx_cli.inference import fill_cache

    monkeypatch.setattr(fill_cache, "ShardWriter", lambda *args: ShardWriter(*args, 1))
    flush, done = ShardWriter.flush, []

    def stopped(self):
        if len(done) == 5:
            self.reset()  # a killed process writes no more
            raise KeyboardInterrupt
        done.append(len(self.outputs))
        flush(self)

    only = "modules=[encoder.image]"
    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "flush", stopped)
        with pytest.raises(KeyboardInterrupt):
            cached(tmp_path / "cache", data, only)
    assert len(open_parts(tmp_path / "cache")["encoder.image"]) == 5
    shards = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").glob("*/*.safetensors")}
    capfd.readouterr()
    cached(tmp_path / "cache", data, only)
    whole = cached(tmp_path / "whole", data, only)
    there, again = (open_parts(f)["encoder.image"] for f in (tmp_path / "cache", whole))
    message = capfd.readouterr().err
    mentions(message, f"encoder.image: {len(again) - 5} of {len(again)} ")
    assert {p: p.stat().st_mtime_ns for p in shards} == shards
    assert sorted(there.name) == sorted(again.name)


def test_a_second_call_with_other_settings(data, tmp_path):
    only = "modules=[encoder.image]"
    cache = cached(tmp_path / "cache", data, only)
    place = f"out={cache}: encoder.image: "
    with raises(ConfigError, f"{place}data.resize_mode crop ", ", squash ", " overwrite=true"):
        cached(cache, data, only, "data.resize_mode=squash")
    with raises(ConfigError, f"{place}dtype", "float32", "float16", " overwrite=true"):
        cached(cache, data, only, "dtype=float16")
    before = open_parts(cache)["encoder.image"].card.preparation["resize_mode"]
    cached(cache, data, only, "data.resize_mode=squash", "overwrite=true")
    after = open_parts(cache)["encoder.image"].card.preparation["resize_mode"]
    assert (before, after) == ("crop", "squash")


def test_unreadable_files_go_to_quarantine_both_times(data, tmp_path):
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    bad = next(row for row in rows if "image" in row and row["split"] == "train")
    (data.parent / bad["image"]).write_bytes(b"no picture")
    only = "modules=[encoder.image]"
    with pytest.raises(
        DataError, match=r"1 of \d+ samples .*data\.max_unreadable_fraction="
    ) as caught:
        cached(tmp_path / "cache", data, only)
    mentions(caught.value, bad["image"])
    few = "data.max_unreadable_fraction=0.5"
    cache = cached(tmp_path / "cache", data, only, few)
    message = [json.loads(line) for line in (cache / "quarantine.jsonl").read_text().splitlines()]
    assert [fault["id"] for fault in message] == [bad["id"]]
    where = f"data.cache={quoted(cache)}"
    run = trained(tmp_path, data, "freeze=[encoder.image]", where, few)
    met = [json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines()]
    assert met == message


@pytest.mark.slow
def test_a_resumed_run_keeps_its_cache(data, tmp_path, monkeypatch):
    from mmtx_cli.command import finetune
    from mmtx_cli.runs import resume

    cache = quoted(cached(tmp_path / "cache", data))
    args = [FROZEN, f"data.cache={cache}"]
    whole = trained(tmp_path / "whole", data, *args, "trainer.max_steps=8", "optimizer.warmup=2")
    part = trained(tmp_path / "part", data, *args, "trainer.max_steps=4", "optimizer.warmup=2")
    cfg = compose("finetune", force_add([f"run_dir={quoted(part)}", "resume=true"]))
    OmegaConf.set_struct(cfg, False)
    given = ["resume=true", "++trainer.max_steps=8"]
    OmegaConf.update(cfg, "trainer.max_steps", 8)
    monkeypatch.setattr(resume, "job_overrides", lambda: given)
    finetune.run(cfg)
    assert len(losses(part)) >= len(losses(whole)) > 8


@pytest.mark.slow
def test_rows_that_share_a_file_share_its_entry(data, tmp_path, capfd):
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    shown = [row for row in rows if "image" in row]
    again = [{**row, "id": f"{row['id']} again"} for row in shown]
    data.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *again]))
    data.with_suffix(".yaml").unlink()  # its counts of rows
    cache = cached(tmp_path / "cache", data, "modules=[encoder.image]")
    assert len(open_parts(cache)["encoder.image"]) == len(shown)
    trained(tmp_path, data, "freeze=[encoder.image]", f"data.cache={quoted(cache)}")


def test_wrong_keys(data, tmp_path):
    with raises(ConfigError, "modules: ", "'encoder.imag'", "'encoder.image'"):
        cached(tmp_path / "cache", data, "modules=[encoder.imag]")
    with raises(ConfigError, "dtype: ", "'int8'", "float32, float16, bfloat16"):
        cached(tmp_path / "cache", data, "dtype=int8")
    with raises(ConfigError, " out=…\n", " mmtx data action=cache"):
        cached(Path("''"), data, "out=null")
    with raises(ConfigError, "encoder: ", " encoder/image="):
        cached(tmp_path / "cache", data, *(f"encoder.{name}=null" for name in ENCODERS))
    assert not (tmp_path / "cache").exists()


DISTILLATION_ARGS = (
    "head=distillation_image",
    "encoder/image@head.distillation_image.teacher=vit",
    "~head.distillation_image.teacher.weights",
    "head.distillation_image.teacher.width=24",
    "head.distillation_image.teacher.depth=1",
    "head.distillation_image.teacher.num_heads=2",
    "head.distillation_image.teacher.patch_size=16",
)
TEACHER = "head.distillation_image.teacher"


@pytest.mark.parametrize("kind", ["feature", pytest.param("relation", marks=pytest.mark.slow)])
def test_a_cached_teacher_gives_the_same_loss(data, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(ManifestDataset, "offset", lambda self, turn, row: None)
    args = [
        *DISTILLATION_ARGS,
        f"head.distillation_image.kind={kind}",
        "fusion=decision",
        "optimizer.lr=0.01",
    ]
    args += [f"encoder.{name}=null" for name in ("text", "video", "audio")]
    plain = losses(trained(tmp_path / "plain", data, *args))
    cache = cached(tmp_path / "cache", data, *args)
    assert set(open_parts(cache)) == {TEACHER}

    def refuse(self, *args):
        raise AssertionError("the teacher was asked")

    monkeypatch.setattr(FrozenTeacher, "run", refuse)
    where = f"data.cache={quoted(cache)}"
    kept = losses(trained(tmp_path / "kept", data, *args, where, "trainer.max_steps=6"))
    for mine, theirs in zip(kept, plain, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)
    assert len({tuple(row) for row in kept}) > 4  # something is learned

    # another seed begins elsewhere, and has the same teacher
    trained(tmp_path / "other", data, *args, where, "seed=2")
    place = f"data.cache={cache}: "
    with raises(ConfigError, f"{place}{TEACHER}: ", "weights"):
        trained(tmp_path / "x", data, *args, where, "head.distillation_image.teacher.depth=2")
    with raises(ConfigError, f"{place}{TEACHER}: data.resize_mode crop ", ", squash "):
        trained(tmp_path / "x", data, *args, where, "data.resize_mode=squash")
    with raises(ConfigError, "data.augment: ", "random", f"data.cache={cache} ", TEACHER):
        trained(tmp_path / "x", data, *args, where, "data.augment.flip=true")


@pytest.mark.slow
def test_a_trained_model_as_a_teacher_of_texts(data, tmp_path):
    no = [f"encoder.{name}=null" for name in ("image", "video", "audio")]
    teacher = trained(tmp_path / "teacher", data, *no)
    args = [
        *no,
        "head=distillation_text",
        f"head.distillation_text.teacher={quoted(teacher)}",
        "fusion=decision",
        "encoder.text.width=8",
    ]
    plain = losses(trained(tmp_path / "plain", data, *args))
    cache = cached(tmp_path / "cache", data, *args)
    part = open_parts(cache)["head.distillation_text.teacher"]
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    # of every caption one
    assert len(part) == len({text for row in rows for text in row.get("captions", ())})
    kept = losses(trained(tmp_path / "kept", data, *args, f"data.cache={quoted(cache)}"))
    for mine, theirs in zip(kept, plain, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)


@pytest.mark.slow
def test_student_and_teacher_both_kept(data, tmp_path):
    args = [*DISTILLATION_ARGS, "fusion=concat", "head=[distillation_image,classification]"]
    args.remove("head=distillation_image")
    frozen = "freeze=[encoder.image]"
    cache = cached(tmp_path / "cache", data, *args, frozen)
    assert set(open_parts(cache)) == {TEACHER, "encoder.image"}
    where = f"data.cache={quoted(cache)}"
    trained(tmp_path, data, *args, frozen, where)

    # without the teacher's, its head looks at pictures
    shutil.rmtree(cache / TEACHER)
    with raises(ConfigError, "head.distillation_image: ", " image ", f"data.cache={cache}"):
        trained(tmp_path / "x", data, *args, frozen, where)


@pytest.mark.slow
def test_a_mixture_with_a_text_column_per_dataset(data, tmp_path):
    from mmtx_cli.command.data_cache import run

    other = Path(shutil.copytree(data.parent, tmp_path / "other")) / data.name
    parts = [f"{{name: a, path: {quoted(data)}, text: captions}}"]
    parts += [f"{{name: b, path: {quoted(other)}, text: text}}"]
    args = [*DATA_ARGS, f"data.mixture=[{','.join(parts)}]"]
    cfg = compose("data_cache", force_add([*args, f"out={quoted(tmp_path / 'cache')}"]))
    OmegaConf.set_struct(cfg, False)
    run(cfg)
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    texts = {row["text"] for row in rows} | {t for row in rows for t in row.get("captions", ())}
    found = open_parts(tmp_path / "cache")
    assert len(found["encoder.text"]) == len(texts)
    assert len(found["encoder.image"]) == 2 * sum("image" in row for row in rows)
    where = f"data.cache={quoted(tmp_path / 'cache')}"
    run_step(tmp_path, "finetune", [*args, *TRAINED, FROZEN, where])
