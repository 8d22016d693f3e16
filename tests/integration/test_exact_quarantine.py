"""Of many damaged files, exactly those that cannot be read are named, each once."""

import io
import json
import random
import re
from pathlib import Path

import pytest
import soundfile

from mmtx_cli.data.validate_files import check_manifest
from mmtx_cli.errors import DataError
from mmtx_cli.media.audio.array_decode import check_sound
from mmtx_cli.media.audio.decode import decode_sound
from mmtx_cli.media.backend import load_decoders
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.image import decode_image
from mmtx_cli.media.image_reader import read_picture
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from tests.command_line import TINY, TINY_IMAGE, mmtx, succeeded
from tests.media.sounds import glide
from tests.media.test_mutated_media import mutated, pictures

SIDE, RATE, SECONDS = 32, 16000, 1.0
ALL = (
    "finetune",
    *TINY_IMAGE,
    *TINY,
    "encoder/audio=spectrogram_cnn",
    "encoder.audio.width=16",
    "fusion=concat",
    "head=classification",
    "data.text=null",
    "data.num_workers=2",
    "data.max_unreadable_fraction=1",
    f"audio_seconds={SECONDS}",
    f"sample_rate={RATE}",
    "trainer.max_steps=null",
    "trainer.max_epochs=2",
)


def sound(format):
    buffer = io.BytesIO()
    soundfile.write(buffer, glide(0.5), RATE, format=format)
    return buffer.getvalue()


def written(folder: Path, count: int, seed: int) -> dict[str, tuple[str, str]]:
    """Pictures and sounds, half of them mutated, and a manifest: medium and path by id."""
    draw = random.Random(seed)
    sources = {"image": pictures(), "audio": [sound(f) for f in ("WAV", "FLAC", "OGG", "AIFF")]}
    rows, files = [], {}
    for i in range(count):
        medium = draw.choice(("image", "image", "audio"))
        content = draw.choice(sources[medium])
        path = folder / f"{i}.bin"
        path.write_bytes(mutated(draw, content) if draw.random() < 0.5 else content)
        split = "val" if i % 5 == 0 else "train"
        rows.append({"id": f"s{i}", "split": split, medium: path.name, "label": "ab"[i % 2]})
        files[f"s{i}"] = medium, str(path)
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files


def unreadable(files, readers) -> set[str]:
    """The ids of files that one reads or not, each by itself."""
    load_decoders()
    guard, bad = IsolatedDecoder(120.0), set()
    for name, (medium, path) in files.items():
        try:
            readers[medium](guard, path)
        except UnreadableError:
            bad.add(name)
    guard.close()
    return bad


IN_TRAINING = {
    "image": lambda guard, path: read_picture(guard, path, SIDE),
    "audio": lambda guard, path: guard.run(decode_sound, path, RATE, SECONDS),
}
IN_CHECK = {
    "image": lambda guard, path: guard.run(decode_image, path),
    "audio": lambda guard, path: guard.run(check_sound, path),
}


def check_of(folder, count, seed):
    """How many files the check finds unreadable, once it is known that they are the right ones."""
    bad = unreadable(written(folder, count, seed), IN_CHECK)
    with pytest.raises(DataError) as caught:
        check_manifest(folder / "m.jsonl", decode=True, workers=2)
    lines = [int(re.search(r"m\.jsonl:(\d+): ", fault)[1]) for fault in caught.value.faults]
    assert sorted(lines) == sorted(int(name[1:]) + 1 for name in bad)
    return len(bad)


def test_check_names_some(tmp_path):
    assert 5 < check_of(tmp_path, 40, seed=3) < 30


@pytest.mark.slow
def test_check_names_all_that_cannot_be_read(tmp_path):
    found = check_of(tmp_path, 200, seed=1)
    print(f"\n200 files, {found} unreadable: all named by the check, and no other")
    assert 20 < found < 120


@pytest.mark.slow
def test_training_quarantines_all_that_cannot_be_read(tmp_path):
    bad = unreadable(written(tmp_path, 200, seed=2), IN_TRAINING)
    run = succeeded(mmtx(*ALL, "data.path=m.jsonl", "run_dir=run", cwd=tmp_path))
    lines = (run / "quarantine.jsonl").read_text().splitlines()
    named = [json.loads(line)["id"] for line in lines]
    assert sorted(named) == sorted(bad)
    assert "Traceback" not in "".join(lines)
    print(f"\n200 files, {len(bad)} unreadable: all in the quarantine once, and no other")
    assert 20 < len(bad) < 120
