import json
import os
import re
from collections import Counter

import numpy as np
import pytest

from mmtx_cli.data.features.reader import FeatureFiles
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.validate_files import check_manifest
from mmtx_cli.errors import ConfigError, DataError
from tests.data.importer.mmsa_file import SIZES, WIDTHS, mmsa, write
from tests.data_action import run_action
from tests.messages import faults_mention, raises

SPLITS = ("train", "val", "test")
OURS = {"text": "text", "audio": "audio", "vision": "video"}


def importing(**settings):
    run_action("import", importer="mmsa", **settings)


def imported(folder, content, **chosen):
    source, out = write(folder / "in.pkl", content), folder / "out" / "mosi.jsonl"
    importing(source=source, out=str(out), **chosen)
    return read_manifest(out)


def features(manifest, split):
    """{id: {modality: vectors}} of one split."""
    files = FeatureFiles()
    return {
        row.id: {name: files.read(place) for name, place in row.features.items()}
        for row in manifest.split(split)
    }


@pytest.mark.parametrize("split", SIZES)
def test_lengths_end_sound_and_video_and_zeros_the_text(split, tmp_path, capsys):
    content = mmsa()
    manifest = imported(tmp_path, content)
    fields, ours = content[split], {"valid": "val"}.get(split, split)
    found = features(manifest, ours)
    assert list(found) == fields["id"]
    for i, ident in enumerate(fields["id"]):
        for name, own in OURS.items():
            x = fields[name][i]
            end = int(x.any(axis=1).sum())
            if name != "text":
                assert end == fields[f"{name}_lengths"][i]
            np.testing.assert_array_equal(found[ident][own], x[:end])
    rows = manifest.split(ours)
    assert [row.text for row in rows] == fields["raw_text"].tolist()
    message = [json.loads(json.dumps(row.label)) for row in rows]
    assert message == [float(str(label)) for label in fields["regression_labels"]]
    assert all(len(str(label)) < 6 for label in message)  # 2.4, not 2.4000000953674316
    assert "NaN" not in capsys.readouterr().out
    check_manifest(manifest.path, decode=True)


def test_aligned_modalities_stay_aligned(tmp_path):
    """Where one is silent inside, no step is lost that another has."""
    content = mmsa(aligned=True)
    fields = content["train"]
    fields["audio"][0, 1:3] = 0  # the first real steps, of which text and vision have something
    fields["vision"][1] = 0
    found = features(imported(tmp_path, content), "train")
    for i, ident in enumerate(fields["id"]):
        end = int(fields["text"][i].any(axis=1).sum()) + 1
        for name, own in OURS.items():
            np.testing.assert_array_equal(found[ident][own], fields[name][i, 1:end])


def test_what_is_not_finite_becomes_zero_and_is_counted(tmp_path, capsys):
    content = mmsa()
    content["train"]["audio_lengths"][:2] = [9, 9]
    content["train"]["audio"][0, :3, 0] = -np.inf
    content["train"]["audio"][1, 0, 1] = np.nan
    content["test"]["vision"] = content["test"]["vision"].astype(np.float64)
    content["test"]["vision"][0, 0, 0] = 1e300
    found = features(imported(tmp_path, content), "train")
    assert not found["train0$_$0"]["audio"][:3, 0].any()
    assert found["train0$_$1"]["audio"][0, 1] == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "NaN" in line]
    faults_mention(lines, ("4 audio values ", " 0"), ("1 video values ", " 0"))


def test_all_padding_is_a_missing_modality(tmp_path, capsys):
    content = mmsa()
    content["train"]["audio_lengths"][3] = 0
    content["train"]["text"][4] = 0
    manifest = imported(tmp_path, content)
    rows = {row.id: row for row in manifest.samples}
    assert set(rows["train1$_$1"].features) == {"text", "video"}
    assert set(rows["train2$_$0"].features) == {"audio", "video"}
    lines = [line for line in capsys.readouterr().out.splitlines() if " samples " in line]
    faults_mention(
        sorted(lines), ("1 samples ", " audio", "padding"), ("1 samples ", " text", "padding")
    )


def test_lengths_beyond_the_steps_are_reported(tmp_path, capsys):
    content = mmsa()
    content["test"]["vision_lengths"][0] = 99
    found = features(imported(tmp_path, content), "test")
    assert len(found["test0$_$0"]["video"]) == 8
    assert re.search(r"^1 video lengths .*steps", capsys.readouterr().out, re.M)


def test_a_chosen_label_column(tmp_path):
    names = imported(tmp_path, mmsa(), columns={"label": "annotations"})
    assert names.label_names == ["Negative", "Positive"]
    numbers = imported(tmp_path, mmsa(), columns={"label": "classification_labels"})
    assert {type(row.label) for row in numbers.samples} == {int}


def test_ids_are_made_unique(tmp_path, capsys):
    content = mmsa()
    content["train"]["id"][5] = content["train"]["id"][4]
    content["test"]["id"] = np.array([["vid", str(i // 2), "x"] for i in range(6)])
    manifest = imported(tmp_path, content)
    ids = [row.id for row in manifest.samples]
    assert Counter(ids).most_common(1)[0][1] == 1
    assert {"train2$_$0", "train2$_$0#2", "vid$_$0$_$x", "vid$_$0$_$x#2"} <= set(ids)
    assert re.search(r"^4 duplicate ids .*numbered", capsys.readouterr().out, re.M)
    found = features(manifest, "train")
    np.testing.assert_array_equal(
        found["train2$_$0#2"]["video"],
        content["train"]["vision"][5][: content["train"]["vision_lengths"][5]],
    )


def test_vectors_alone_and_labels_in_columns(tmp_path):
    """Features [n, c] are sequences of one; labels may be [n, 1]."""
    content = mmsa()
    for fields in content.values():
        fields["vision"] = fields["vision"][:, 0]
        del fields["vision_lengths"]
        fields["regression_labels"] = fields["regression_labels"][:, None, None]
    manifest = imported(tmp_path, content)
    assert {x["video"].shape for x in features(manifest, "val").values()} == {(1, 3)}
    assert {type(row.label) for row in manifest.samples} == {float}


def test_the_manifest_and_its_features_can_be_moved(tmp_path):
    imported(tmp_path, mmsa())
    (tmp_path / "in.pkl").unlink()
    os.rename(tmp_path / "out", tmp_path / "elsewhere")
    check_manifest(tmp_path / "elsewhere" / "mosi.jsonl", decode=True)
    assert sorted(os.listdir(tmp_path / "elsewhere" / "mosi_features")) == sorted(
        f"{split}_{name}.safetensors"
        for split in ("train", "val", "test")
        for name in OURS.values()
    )


def changed(change):
    content = mmsa()
    change(content)
    return content


BROKEN = {
    "no dict": ([1, 2], [" dict ", "train, valid and test", "MMSA"]),
    "no splits": ({"a": {}}, [" dict ", "train, valid and test", "MMSA"]),
    "no label": (
        changed(lambda c: c["test"].pop("regression_labels")),
        [" test: ", "'regression_labels'", "annotations", "columns={label: "],
    ),
    "no ids": (changed(lambda c: c["valid"].pop("id")), [" valid: ", "'id'"]),
    "no features": (
        changed(lambda c: [c["test"].pop(name) for name in WIDTHS]),
        [" test: ", "text, audio or vision"],
    ),
    "too few": (
        changed(lambda c: c["train"].update(audio=c["train"]["audio"][1:])),
        [" train: audio ", "11 entries", "12 ids"],
    ),
    "one id": (changed(lambda c: c["train"].update(id=3)), [" train: text ", "12 ent", "0 ids"]),
    "lengths in words": (
        changed(lambda c: c["test"].update(audio_lengths=["a"] * 6)),
        [" test: audio_lengths ", "integers"],
    ),
    "texts for features": (
        changed(lambda c: c["train"].update(audio=np.array(["x"] * 12))),
        [" train: audio ", "numbers", "[n, l, c]"],
    ),
    "no label at all": (
        changed(lambda c: c["train"]["regression_labels"].__setitem__(2, np.nan)),
        [" train: regression_labels[2] ", "nan", "finite number"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_other_files_are_reported_and_leave_nothing(name, tmp_path):
    content, parts = BROKEN[name]
    with raises(DataError, f"{tmp_path / 'in.pkl'}:", *parts):
        imported(tmp_path, content)
    assert os.listdir(tmp_path) == ["in.pkl"]


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile",)


def test_a_hostile_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = changed(lambda c: c["train"].update(audio=Hostile()))
    with raises(DataError, f"{tmp_path / 'in.pkl'}: ", "posix.system"):
        imported(tmp_path, content)
    assert os.listdir(tmp_path) == ["in.pkl"]


def test_what_the_command_needs(tmp_path):
    with raises(ConfigError, "source=…\n", "mmtx data action=import importer=mmsa"):
        importing(out=str(tmp_path / "a.jsonl"))
    source = write(tmp_path / "in.pkl", mmsa())
    with raises(ConfigError, "columns=", "field", "label"):
        importing(source=source, out=str(tmp_path / "a.jsonl"), columns={"id": "x"})
    with raises(ConfigError, f"out={tmp_path}: ", "manifest"):
        importing(source=source, out=str(tmp_path))
