"""Captions of whole folders: continued after a kill, shared by processes, beside the files."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mmtx_cli.inference.sidecar import LARGEST
from tests.command_line import TINY, mmtx, refused, stopped, succeeded
from tests.messages import mentions

from .fixtures import AWKWARD_NAME

PER_BATCH = "data.batch_size=2"


@pytest.fixture
def photos(place, scenes, tmp_path):
    """Twenty-two pictures in two folders, one of them broken."""
    found = sorted((place / AWKWARD_NAME / "scenes" / "images").iterdir())[:21]
    for i, path in enumerate(found):
        folder = tmp_path / "photos" / ("a" if i % 3 else "b c")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    (tmp_path / "photos" / "a" / "broken.png").write_text("no picture")
    return tmp_path / "photos"


def arguments(photos, captioner, run, *more):
    return ["caption", captioner, f"inputs='{photos}'", PER_BATCH, f"run_dir='{run}'", *more]


def captions(run):
    return [json.loads(line) for line in (run / "captions.jsonl").read_text().splitlines()]


def kill(args, place, ready):
    """Kill a command and all that it started at once when ``ready``; its exit status."""
    return stopped(args, place, signal.SIGKILL, ready, group=True).returncode


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "method",
    [
        pytest.param("generation.num_beams=2", marks=pytest.mark.slow),
        "generation.do_sample=true",
    ],
)
def test_a_killed_run_is_continued_to_the_same_bytes(place, photos, captioner, kills, method):
    whole, cut = photos.parent / "whole", photos.parent / "cut"
    done = mmtx(*arguments(photos, captioner, whole, method), cwd=place)
    succeeded(done)
    instants = random.Random(kills)
    args = arguments(photos, captioner, cut, method, "sidecar=txt")
    for i in range(kills):
        shutil.rmtree(cut, ignore_errors=True)
        for path in photos.rglob("*.txt"):
            path.unlink()
        # parts are of eight inputs, so there are three
        parts, wait = i % 3, instants.random() * 0.1
        folder = cut / ".captions"

        def ready(parts=parts, wait=wait, folder=folder):
            if not (folder / "launch").exists() or len(list(folder.glob("*.jsonl"))) < parts:
                return False
            time.sleep(wait)
            return True

        status = kill(args, place, ready)
        if status == 0:
            continue
        assert status == -signal.SIGKILL
        if folder.exists():  # else it was killed after all was written
            again = mmtx(*args, cwd=place)
            succeeded(again)
            assert again.stdout.splitlines()[:-1] == done.stdout.splitlines()[:-1]
        assert (cut / "captions.jsonl").read_bytes() == (whole / "captions.jsonl").read_bytes()
        assert not folder.exists()
        assert len(list(photos.rglob("*.txt"))) == 21


@pytest.mark.slow
def test_processes_share_the_work(place, photos, captioner):
    alone, shared = photos.parent / "alone", photos.parent / "shared"
    succeeded(mmtx(*arguments(photos, captioner, alone), cwd=place))
    args = arguments(photos, captioner, shared, "trainer.devices=2", "trainer.accelerator=cpu")
    succeeded(mmtx(*args, cwd=place))
    assert (alone / "captions.jsonl").read_bytes() == (shared / "captions.jsonl").read_bytes()


@pytest.mark.slow
def test_other_settings_do_not_continue_a_run(place, photos, captioner):
    run = photos.parent / "run"
    args = arguments(photos, captioner, run)
    status = kill(args, place, (run / ".captions" / "000000.jsonl").exists)
    assert status == -signal.SIGKILL
    done = mmtx(*args, "generation.num_beams=1", "seed=5", cwd=place)
    assert done.returncode == 2
    mentions(done.stderr, f"run_dir={run}", "generation.num_beams, seed", "another folder")
    extra = photos / "new.png"
    shutil.copy(next(photos.rglob("0*.jpg")), extra)
    done = mmtx(*args, cwd=place)
    succeeded(done)
    mentions(done.stderr, "inputs have changed")
    assert len(captions(run)) == 22


def test_captions_beside_the_files(place, photos, captioner):
    args = arguments(photos, captioner, photos.parent / "one", "sidecar=txt")
    run = succeeded(mmtx(*args, "template='sks, {caption}!'", cwd=place))
    rows = captions(run)
    for row in rows:
        beside = Path(row["path"]).with_suffix(".txt")
        assert beside.exists() == ("caption" in row)
        if "caption" in row:
            assert beside.read_text() == row["caption"] + "\n"
            assert row["caption"].startswith("sks, ")
    for path in [*photos.rglob("*.txt")][:3]:
        path.unlink()
    (photos / "a" / "broken.png").unlink()
    done = mmtx(*arguments(photos, captioner, photos.parent / "two", "sidecar=txt"), cwd=place)
    assert len(captions(succeeded(done))) == 3
    mentions(done.stderr, "3 inputs to caption", "18 have a caption")
    assert "skipped" not in done.stderr
    args = arguments(photos, captioner, photos.parent / "three", "sidecar=txt")
    done = mmtx(*args, cwd=place)
    assert done.returncode == 0
    mentions(done.stderr, "all 21 inputs have a caption")
    assert not done.stdout
    assert len(captions(succeeded(mmtx(*args, "overwrite=true", cwd=place)))) == 21


def test_captions_with_all_that_is_known_of_them(place, photos, captioner):
    args = arguments(photos, captioner, photos.parent / "json", "sidecar=json")
    more = ["generation.token_scores=true", "generation.num_return_sequences=2"]
    row = next(
        row for row in captions(succeeded(mmtx(*args, *more, cwd=place))) if "caption" in row
    )
    beside = json.loads(Path(row["path"]).with_suffix(".json").read_text())
    assert beside == {key: value for key, value in row.items() if key != "path"}
    assert [word["word"] for word in beside["words"]] == beside["caption"].split()
    assert all(0 <= word["probability"] <= 1 for word in beside["words"])
    assert len(beside["alternatives"]) == 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.json", b'{"title": 1}', ["x.json", "caption"]),
        ("x.json", b"{", ["x.json", "not JSON"]),
        ("x.txt", b"\xff\xfe", ["x.txt", "UTF-8"]),
        pytest.param("x.txt", b"a" * (LARGEST + 1), ["x.txt", "larger than"], id="large"),
        ("x.txt", None, ["x.txt", "not a regular file"]),
        ("x.jpg", b"", ["x.txt", "x.jpg", "x.png"]),
    ],
)
def test_other_files_are_not_overwritten(place, photos, captioner, name, content, words):
    shutil.copy(next(photos.rglob("0*.jpg")), photos / "x.png")
    if content is None:
        (photos / name).symlink_to("elsewhere")
    else:
        (photos / name).write_bytes(content)
    kind = "json" if name.endswith("json") else "txt"
    run = photos.parent / "run"
    args = arguments(photos, captioner, run, f"sidecar={kind}", "overwrite=true")
    mentions(refused(*args, cwd=place), *words)
    assert not run.exists()
    assert content is None or (photos / name).read_bytes() == content


def test_a_list_of_files(place, photos, captioner):
    listed = [path.relative_to(photos) for path in sorted(photos.rglob("0*.jpg"))[:3]]
    (photos / "list.txt").write_text("".join(f"{path}\n" for path in listed))
    args = ["caption", captioner, f"inputs='@{photos / 'list.txt'}'", f"run_dir='{photos / 'run'}'"]
    rows = captions(succeeded(mmtx(*args, cwd=place)))
    assert [row["path"] for row in rows] == [str(photos / path) for path in listed]
    for content, word in (("\n\n", "names no file"), (None, "readable")):
        path = photos / "bad.txt"
        if content is None:
            path.unlink()
        else:
            path.write_text(content)
        mentions(refused("caption", captioner, f"inputs='@{path}'", cwd=place), "bad.txt", word)


def test_settings_that_do_not_fit(place, photos, captioner):
    args = arguments(photos, captioner, photos.parent / "run")
    mentions(refused(*args, "template=sks", cwd=place), 'template="sks"', "{caption}")
    mentions(refused(*args, "sidecar=csv", cwd=place), "sidecar: ", "'csv'", "txt, json")
    mentions(refused(*args, "sidecar=txt", "segment_seconds=2", cwd=place), "sidecar: ")


def test_a_running_command_is_not_disturbed(place, photos, captioner):
    run = photos.parent / "run"
    args = arguments(photos, captioner, run)
    messages = []

    def ready():
        if (run / ".captions" / "plan.json").exists():
            messages.append(mmtx(*args, cwd=place).stderr)
        return bool(messages)

    assert kill(args, place, ready) in (0, -signal.SIGKILL)
    assert "in use by another run" in messages[0] or "already contains a result" in messages[0]


def test_names_that_are_not_utf8(place, photos, captioner):
    name = os.fsencode(photos) + b"/caf\xe9.jpg"
    with open(name, "wb") as file:
        file.write(next(photos.rglob("0*.jpg")).read_bytes())
    rows = captions(
        succeeded(mmtx(*arguments(photos, captioner, photos.parent / "run"), cwd=place))
    )
    assert os.fsencode(rows[-1]["path"]) == name
    assert "caption" in rows[-1]


def test_keys_of_others_in_a_json_file_stay(place, photos, captioner):
    beside = next(photos.rglob("0*.jpg")).with_suffix(".json")
    beside.write_text('{"caption": "old", "url": "x"}')
    args = arguments(photos, captioner, photos.parent / "a", "sidecar=json")
    assert len(captions(succeeded(mmtx(*args, cwd=place)))) == 21
    assert json.loads(beside.read_text()) == {"caption": "old", "url": "x"}
    args = arguments(photos, captioner, photos.parent / "b", "sidecar=json", "overwrite=true")
    assert len(captions(succeeded(mmtx(*args, cwd=place)))) == 22
    found = json.loads(beside.read_text())
    assert found["url"] == "x"
    assert found["caption"] != "old"


@pytest.mark.parametrize("what", ["link", "parts", "plan"])
@pytest.mark.quick_cases(1)
def test_a_folder_of_someone_else(place, photos, captioner, what):
    run, target = photos.parent / "run", photos.parent / "target"
    (run / ".captions").mkdir(parents=True)
    target.write_text("mine")
    args = arguments(photos, captioner, run)
    if what == "link":
        (run / ".captions" / "launch").symlink_to(target)
        assert len(captions(succeeded(mmtx(*args, cwd=place)))) == 22
    elif what == "parts":
        (run / ".captions" / "000000.jsonl").write_text('{"path": "x", "caption": "evil"}\n')
        rows = captions(succeeded(mmtx(*args, cwd=place)))
        assert not any(row.get("caption") == "evil" for row in rows)
    else:
        (run / ".captions" / "000000.jsonl").write_text("")
        (run / ".captions" / "plan.json").write_text('{"size": 0, "pieces": [1]}')
        mentions(refused(*args, cwd=place), "plan.json", "not a plan")
    assert target.read_text() == "mine"


def test_sounds_of_different_lengths_keep_their_order(tmp_path):
    """They are read by size; each has the caption that it has alone."""
    rows, seconds = [], [0.9, 0.2, 1.5, 0.4, 0.3, 1.2, 0.6]
    for i, length in enumerate(seconds):
        tone = np.sin(2 * np.pi * 200 * (i + 1) * np.arange(int(8000 * length)) / 8000)
        soundfile.write(tmp_path / f"{i}.wav", tone * 0.5, 8000)
        split = "val" if i == 6 else "train"
        rows.append({"id": str(i), "split": split, "audio": f"{i}.wav", "captions": [f"tone {i}"]})
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    args = ["encoder/audio=ast", "encoder.audio.width=16", "encoder.audio.depth=1"]
    args += ["encoder.audio.num_heads=2", *TINY, "fusion=concat", "head=captioning"]
    args += ["decoder.depth=1", "decoder.num_heads=2", "data.path=m.jsonl", "run_dir=run"]
    succeeded(mmtx("finetune", *args, "data.batch_size=2", "trainer.max_steps=3", cwd=tmp_path))
    files = ",".join(f"{i}.wav" for i in range(7))
    common = ["caption", "ckpt=run", "data.batch_size=2"]
    done = mmtx(*common, f"inputs=[{files}]", "run_dir=all", cwd=tmp_path)
    succeeded(done)
    found = captions(tmp_path / "all")
    assert [row["path"] for row in found] == files.split(",")
    assert (
        done.stdout.splitlines()[:7]
        == (tmp_path / "all/captions.jsonl").read_text().split("\n")[:7]
    )
    for i in (0, 5):
        succeeded(mmtx(*common, f"inputs={i}.wav", f"run_dir=one{i}", cwd=tmp_path))
        (alone,) = captions(tmp_path / f"one{i}")
        assert alone["caption"] == found[i]["caption"]
        assert alone["score"] == pytest.approx(found[i]["score"], abs=1e-4)
