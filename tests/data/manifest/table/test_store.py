import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.manifest.table import cached, store
from mmtx_cli.data.manifest.table.first_reading import SAMPLES
from mmtx_cli.errors import ConfigError
from tests.messages import raises


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    monkeypatch.setenv("MMTX_MANIFEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MMTX_TABLE_ROWS", "0")
    path = tmp_path / "m.jsonl"
    write(path, "a")
    return path


def write(path, *ids):
    path.write_text("".join(f'{{"id": "{i}", "split": "train"}}\n' for i in ids))


def ids(path, **options):
    return [sample.id for sample in read_manifest(path, **options).samples]


def entries(path):
    return sorted(p for p in (path.parent / "cache").iterdir() if not p.name.startswith("."))


def forget():
    """Open files anew, as another process does."""
    from mmtx_cli.data.manifest.table import samples

    store._whole.clear()
    for descriptor in store._in_use.values():
        os.close(descriptor)
    store._in_use.clear()
    samples._opened.clear()


@pytest.fixture
def readings(monkeypatch):
    """The manifests that were read, not opened."""
    found = []
    read = cached.write_samples
    monkeypatch.setattr(
        cached, "write_samples", lambda r, folder: found.append(r.path) or read(r, folder)
    )
    return found


def test_the_second_reading_opens_the_first(manifest, readings):
    assert ids(manifest) == ids(manifest) == ["a"]
    assert len(readings) == 1
    forget()
    assert ids(manifest) == ["a"]
    assert len(readings) == 1


def test_files_are_looked_for_once(manifest, readings):
    image = manifest.with_name("a.jpg")
    image.touch()
    manifest.write_text('{"id": "a", "split": "train", "image": "a.jpg"}\n')
    ids(manifest)
    image.unlink()
    assert ids(manifest) == ["a"]
    os.utime(manifest)  # changes the time of the manifest, which is then read again
    with pytest.raises(Exception, match="file not found"):
        ids(manifest)


def test_everything_that_changes_the_samples_is_noticed(manifest, readings):
    ids(manifest)
    stat = manifest.stat()
    write(manifest, "b")  # as long as before
    os.utime(manifest, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert ids(manifest) == ["b"]
    manifest.with_suffix(".yaml").write_text("description: x\n")
    ids(manifest)
    ids(manifest, root=manifest.parent.parent)
    ids(manifest, check_files=False)
    ids(manifest, ignored=["label"])
    write(manifest, "c")
    manifest.write_text('{"id": "c"}\n')
    splits = {
        seed: read_manifest(manifest, split={"train": 0.5, "test": 0.5}, seed=seed).samples[0].split
        for seed in range(8)
    }
    assert set(splits.values()) == {"train", "test"}
    assert len(readings) == 6 + 8


@pytest.mark.parametrize("damage", ["cut", "bit", "gone", "contents", "empty"])
def test_damaged_files_are_made_anew(manifest, readings, damage):
    ids(manifest)
    forget()
    (entry,) = entries(manifest)
    path = entry / SAMPLES
    data = bytearray(path.read_bytes())
    match damage:
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "bit":
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        case "gone":
            path.unlink()
        case "contents":
            (entry / store.CONTENTS).write_text("[]")
        case "empty":
            (entry / store.CONTENTS).write_text("")
    assert ids(manifest) == ["a"]
    assert len(readings) == 2
    forget()
    assert ids(manifest) == ["a"]
    assert len(readings) == 2


READER = """
import sys
from mmtx_cli.data.manifest.table import cached
from mmtx_cli.data.manifest.read import read_manifest
read = cached.write_samples
def noted(*args):
    print("read", flush=True)
    return read(*args)
cached.write_samples = noted
print(len(read_manifest(sys.argv[1]).samples))
"""


def test_one_of_several_processes_reads(manifest):
    write(manifest, *range(5000))
    command = [sys.executable, "-c", READER, str(manifest)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        for _ in range(3)
    ]
    lines = sorted(line for p in started for line in p.communicate()[0].split())
    assert lines == ["5000", "5000", "5000", "read"]


def test_what_a_killed_process_left_is_removed(manifest):
    ids(manifest)
    forget()
    (entry,) = entries(manifest)
    left = entry.with_name(f".{entry.name}.x1.part")
    entry.rename(left)
    assert ids(manifest) == ["a"]
    assert not left.exists()


def test_the_least_recently_used_is_removed_beyond_the_limit(manifest, monkeypatch, readings):
    paths = [manifest.with_name(f"{name}.jsonl") for name in "xyz"]
    for age, path in enumerate(paths):
        write(path, path.stem)
        ids(path)
        os.utime(entries(manifest)[0].parent)
        for entry in entries(manifest):
            os.utime(entry, (1000 + age, 1000 + age))
    forget()
    size = store.size_of(entries(manifest)[0])
    monkeypatch.setenv(store.LIMIT, str(2.5 * size / 1e9))
    ids(paths[0])  # used again
    write(manifest, "new")
    ids(manifest)  # in use, like the first
    assert len(entries(manifest)) == 2
    forget()
    before = len(readings)
    assert ids(paths[0]) == ["x"]
    assert len(readings) == before


def test_folders_in_use_are_kept(manifest, monkeypatch):
    monkeypatch.setenv(store.LIMIT, "0")
    samples = read_manifest(manifest).samples
    other = manifest.with_name("other.jsonl")
    write(other, "b")
    ids(other)
    assert len(entries(manifest)) == 2
    assert samples[0].id == "a"


def test_wrong_settings_are_refused(manifest, monkeypatch, tmp_path):
    monkeypatch.setenv(store.LIMIT, "much")
    with raises(ConfigError, store.LIMIT, "much"):
        ids(manifest)
    (tmp_path / "file").touch()
    monkeypatch.setenv(store.FOLDER, str(tmp_path / "file" / "x"))
    with raises(ConfigError, store.FOLDER, tmp_path / "file"):
        ids(manifest)


def test_without_a_cache_a_temporary_folder_is_removed(manifest):
    script = (
        "import sys; from mmtx_cli.data.manifest.read import read_manifest\n"
        "samples = read_manifest(sys.argv[1]).samples\n"
        "print(samples.folder, samples[0].id)"
    )
    environment = os.environ | {store.FOLDER: "off"}
    command = [sys.executable, "-c", script, str(manifest)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    folder, ident = done.stdout.split()
    assert ident == "a"
    assert not Path(folder).exists()
    assert not (manifest.parent / "cache").exists()
