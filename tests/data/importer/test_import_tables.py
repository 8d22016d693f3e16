"""Folders of classes, and tables of other forms, as a user imports them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.data.features.reader import FeatureFiles
from mmtx_cli.data.importer import csv as csv_table
from mmtx_cli.data.importer import folders
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError, DataError
from tests.command.test_data import run_data
from tests.data_action import run_action
from tests.messages import faults_mention, mentions, raises


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Forty pictures of different content."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(40):
        Image.new("RGB", (8, 8), (6 * i, 0, 99)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def importing(tmp_path, photos, capsys):
    """Write a table and import it; the manifest's samples."""

    def run(text: str, name: str = "t.csv", **settings):
        (tmp_path / name).write_text(text)
        given = {"captions": str(tmp_path / name), "images": str(photos), "split": "train"}
        common = {"action": "import", "importer": "csv", "out": str(tmp_path / "m.jsonl")}
        return read_manifest(run_data(capsys, **common, **(given | settings))).samples

    return run


class TestFolders:
    @pytest.fixture
    def classes(self, tmp_path, photos):
        top = tmp_path / "top"
        for i, path in enumerate(sorted(photos.iterdir())):
            own = top / ("cat" if i % 2 else "dog") / ("deep" if i % 3 else ".")
            own.mkdir(parents=True, exist_ok=True)
            path.rename(own / path.name)
        (top / "cat" / "notes.txt").write_text("x")
        (top / ".hidden").mkdir()
        return top

    def run(self, capsys, source, **settings):
        out = str(source.parent / "m.jsonl")
        common = {"action": "import", "importer": "folders", "out": out, "source": str(source)}
        return read_manifest(run_data(capsys, **common, **settings)).samples

    def test_a_folder_a_class(self, classes, capsys):
        samples = self.run(capsys, classes, split={"train": 0.5, "test": 0.5})
        assert len(samples) == 40
        assert {sample.split for sample in samples} == {"train", "test"}
        for sample in samples:
            assert sample.label == sample.id.split("/")[0]
            assert Path(sample.image[0]) == classes / sample.id

    def test_what_is_not_taken_is_told(self, classes, capsys):
        out = str(classes.parent / "m.jsonl")
        run_action("import", importer="folders", source=str(classes), out=out, split="train")
        message = capsys.readouterr().out
        mentions(message, f"{classes}: 1 files ", "(1 x .txt)", ": cat/notes.txt\n")

    def test_a_folder_a_split(self, classes, tmp_path, capsys):
        top = tmp_path / "splits"
        for split, kind in (("train", "cat"), ("valid", "dog")):
            (top / split).mkdir(parents=True)
            (classes / kind).rename(top / split / kind)
        samples = self.run(capsys, top)
        assert {(s.split, s.label) for s in samples} == {("train", "cat"), ("val", "dog")}

    def test_files_beside_folders_of_splits_are_listed(self, classes, tmp_path, capsys):
        top = tmp_path / "splits"
        (top / "train").mkdir(parents=True)
        (classes / "cat").rename(top / "train" / "cat")
        (top / "loose.png").touch()
        (top / "train" / "more.png").touch()
        (top / ".DS_Store").touch()
        notes: list[str] = []
        assert len(list(folders.rows(top, None, notes))) == 20
        left = "loose.png, train/more.png, train/cat/notes.txt"
        faults_mention(notes, (f"{top}: 3 files ", "(2 x .png, 1 x .txt)", f": {left}"))
        assert notes[0].endswith(left)

    @pytest.mark.parametrize("split", [{"train": 0.5, "val": 0.5}, "train"])
    def test_folders_of_splits_are_no_classes(self, classes, capsys, split):
        (classes / "cat").rename(classes / "train")
        (classes / "dog").rename(classes / "validation")
        with raises(DataError, f"{classes}: ", "(train, validation)", "splits", " split="):
            self.run(capsys, classes, split=split)
        (classes / "train").rename(classes / "cat")  # a class may have such a name beside another
        assert {s.label for s in self.run(capsys, classes, split=split)} == {"cat", "validation"}

    def test_linked_folders_are_followed(self, classes, tmp_path, capsys):
        inner = classes / "cat" / "deep"
        inner.rename(tmp_path / "elsewhere")
        inner.symlink_to(tmp_path / "elsewhere")
        (inner / "loop").symlink_to(classes)
        assert len(self.run(capsys, classes, split="train")) == 40

    def test_folders_that_are_no_splits(self, classes, tmp_path, capsys):
        with raises(DataError, f"{classes}: ", "cat, dog", " split=train", "'split={train: "):
            self.run(capsys, classes)
        (tmp_path / "none" / "cat").mkdir(parents=True)
        with raises(DataError, f"{tmp_path}/none: ", "/CLASS", "/train/CLASS"):
            self.run(capsys, tmp_path / "none", split="train")
        with raises(ConfigError, f"source={tmp_path}/tap: ", "folder", f" {tmp_path}/top"):
            self.run(capsys, tmp_path / "tap", split="train")


class TestForms:
    def test_json_lines(self, importing):
        rows = [
            {"file": "1.png", "said": ["one", "two"], "score": 2},
            {"file": "2.png", "said": ["three"], "score": 1.5},
        ]
        text = "\n".join(map(json.dumps, rows))
        columns = {"image": "file", "caption": "said", "label": "score"}
        one, two = importing(text, "t.jsonl", columns=columns)
        assert (one.captions, one.label) == (("one", "two"), 2)
        assert (two.captions, two.label) == (("three",), 1.5)

    def test_without_a_header(self, importing):
        one, two = importing("1.png,x,a dog\n2.png,y,a cat\n", columns={"image": 1, "caption": 3})
        assert (Path(one.image[0]).name, one.captions) == ("1.png", ("a dog",))
        assert two.captions == ("a cat",)
        with raises(DataError, "t.csv:1: ", "2 cells", "9 columns"):
            importing("1.png,x\n", columns={"image": 9})
        with raises(ConfigError, "columns={", "names", "numbers", "header"):
            importing("1.png,x\n", columns={"image": 1, "caption": "x"})

    def test_without_quotes_the_last_column_takes_the_rest(self, importing):
        text = 'image,caption\n1.png,a dog, which says "woof\n2.png,plain\n'
        with raises(DataError, "t.csv:2: ", "quote"):
            importing(text)
        one, two = importing(text, quoting=False)
        assert (one.captions, two.captions) == (('a dog, which says "woof',), ("plain",))
        (one,) = importing("1.png,a, b\n", columns={"image": 1, "caption": 2}, quoting=False)
        assert one.captions == ("a, b",)

    def test_labels_that_are_numbers(self, importing):
        columns = {"image": "file", "number": "score"}
        (one,) = importing("file,score\n1.png,2.50\n", columns=columns)
        assert one.label == 2.5
        with raises(DataError, "t.csv:2: ", "'high'", "finite number", "cell"):
            importing("file,score\n1.png,high\n", columns=columns)


class TestKeys:
    """Lines of JSON Lines, each with keys of its own."""

    def test_keys_that_the_first_line_lacks(self, importing, capsys):
        rows = [{"image": "1.png"}, {"image": "2.png", "label": "x", "source": "y"}]
        one, two = importing("\n".join(map(json.dumps, rows)), "t.jsonl")
        assert (one.label, two.label) == (None, "x")

    def test_columns_that_the_first_line_lacks(self, importing):
        rows = [{"file": "1.png"}, {"file": "2.png", "kind": "x", "a_1": 3}]
        settings = {"columns": {"image": "file", "label": "kind"}, "features": {"audio": "a_*"}}
        one, two = importing("\n".join(map(json.dumps, rows)), "t.jsonl", **settings)
        assert (one.label, two.label) == (None, "x")
        assert (set(one.features), set(two.features)) == (set(), {"audio"})

    def test_what_is_not_taken_is_listed_whatever_line_has_it(self, tmp_path):
        rows = [{"image": "1.png", "label": "x"}, {"image": "2.png", "label": "x", "other": 1}]
        (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
        notes: list[str] = []
        list(csv_table.rows(tmp_path / "t.jsonl", "x", split="val", notes=notes))
        faults_mention(notes, (f"{tmp_path}/t.jsonl: ", "columns", ": other"))
        assert notes[0].endswith(": other")

    def test_zero_is_a_value(self, importing):
        rows = [
            {"id": 0, "image": "1.png", "text": "a", "label": 0, "group": "0"},
            {"id": 0, "image": "1.png", "captions": ["b"]},
        ]
        (one,) = importing("\n".join(map(json.dumps, rows)), "t.jsonl")
        assert (one.id, one.label, one.group, one.captions) == ("0", 0, "0", ("b",))

    @pytest.mark.parametrize(
        ("row", "parts"),
        [
            ({"id": False, "text": "a"}, ["id ", "False", "text", "integer"]),
            ({"id": ["a"], "text": "a"}, ["id ", "['a']", "text", "integer"]),
            ({"image": 0, "text": "a"}, ["image ", " 0", "one path"]),
            ({"id": "a", "text": "a", "split": 0}, ["split", " 0", "train, val or test"]),
            ({"id": "a", "number": 10**400}, ["1000", "finite number", "columns.number"]),
            ({"id": "a", "caption": 0}, ["captions", " 0"]),
        ],
    )
    def test_what_is_no_id_or_path(self, importing, row, parts):
        with raises(DataError, "t.jsonl:1: ", *parts):
            importing(json.dumps(row), "t.jsonl")

    def test_a_column_called_captions(self, importing):
        text = 'image,captions\n1.png,a | b\n1.png,c\n2.png,"[""d"", ""e""]"\n'
        one, two = importing(text)
        assert (one.captions, two.captions) == (("a", "b", "c"), ("d", "e"))
        (one,) = importing("f,g\n1.png,a | b\n", columns={"image": "f", "captions": "g"})
        assert one.captions == ("a | b",)

    @pytest.mark.parametrize("order", [1, -1])
    def test_lines_of_a_sample_in_any_order(self, importing, order):
        lines = ["a,1.png,one,,val", "a,1.png,,x,", "a,,two,,"]
        text = "id,image,caption,label,split\n" + "\n".join(lines[::order])
        (one,) = importing(text, split={"train": 1.0})
        assert ({*one.captions}, one.label, one.split) == ({"one", "two"}, "x", "val")
        text += "\na,1.png,,z,train\n"
        with raises(DataError, "t.csv:5: a ") as caught:
            importing(text)
        # which of the two differs first is open, and the other value is that of an earlier line
        odd = r"(label 'z'.*'x'|split 'train'.*'val').*t\.csv:[234]\b"
        assert re.search(odd, str(caught.value))


class TestNumbers:
    TEXT = "name,class,m_1,m_2,loud,note\na,x,1,2,9,q\nb,y,,,8,q\nc,x,3,-4.5,7,q\n"
    SETTINGS = {
        "images": None,
        "columns": {"id": "name", "label": "class"},
        "features": {"audio": "m_*", "text": ["loud", "m_1"]},
    }

    def test_columns_become_vectors(self, importing, tmp_path):
        text = self.TEXT.replace("b,y,,", "b,y,5,6")
        samples = importing(text, **self.SETTINGS)
        read = FeatureFiles()
        vectors = [
            {
                name: read.read(place, None, 10).ravel().tolist()
                for name, place in s.features.items()
            }
            for s in samples
        ]
        assert vectors == [
            {"audio": [1, 2], "text": [9, 1]},
            {"audio": [5, 6], "text": [8, 5]},
            {"audio": [3, -4.5], "text": [7, 3]},
        ]
        assert np.load(tmp_path / "m_features" / "audio.npy").shape == (3, 2)

    def test_empty_cells_are_a_missing_modality(self, importing):
        settings = self.SETTINGS | {"features": {"audio": "m_*"}}
        samples = importing(self.TEXT, **settings)
        assert [set(sample.features) for sample in samples] == [{"audio"}, set(), {"audio"}]

    def test_numbers_alone(self, importing):
        text = "a,b,y\n1,2,0.5\n3,4,0.7\n"
        settings = {"images": None, "columns": {"number": "y"}, "features": {"text": ["a", "b"]}}
        samples = importing(text, **settings)
        assert [(s.id, s.label) for s in samples] == [("2", 0.5), ("3", 0.7)]

    @pytest.mark.parametrize(
        ("features", "parts"),
        [
            ({"audio": "f_*"}, ["t.csv:1: ", "column 'f_*'", "features.audio"]),
            ({"sound": "m_*"}, ["features.sound: ", "modality", "text, image"]),
            (
                {"audio": ["m_1", "loud"]},
                ["t.csv:3: column 'm_1' ", " '', ", "32-bit number", "features.audio"],
            ),
            ({"audio": "class"}, ["t.csv:2: column 'class' ", "'x'", "32-bit number"]),
            ({"audio": "big"}, ["t.csv:3: column 'big' ", "'1e39'", "32-bit number"]),
        ],
    )
    def test_what_is_wrong_is_told(self, importing, features, parts):
        with raises(DataError, *parts):
            importing(BIG, **(self.SETTINGS | {"features": features}))

    def test_the_largest_numbers(self, importing):
        text = BIG.replace("1e39", "-3.4028234e38")
        settings = self.SETTINGS | {"features": {"audio": "big"}}
        assert len(importing(text, **settings)) == 3

    def test_an_empty_choice(self, importing):
        with raises(ConfigError, "features=mfcc: ", "columns", "modality"):
            importing(self.TEXT, **(self.SETTINGS | {"features": "mfcc"}))


BIG = "name,class,m_1,m_2,loud,note,big\na,x,1,2,9,q,1\nb,y,,,8,q,1e39\nc,x,3,-4.5,7,q,2\n"


class TestMissing:
    TEXT = "image,caption\n1.png,one\nno.png,two\n2.png,three\nnone.png,four\n"

    def test_missing_files_are_a_fault_unless_they_are_to_be_skipped(
        self, importing, tmp_path, capsys
    ):
        with raises(DataError, "t.csv:3: image: ", "/no.png", " images="):
            importing(self.TEXT)
        assert not (tmp_path / "m.jsonl").exists()
        assert [s.captions for s in importing(self.TEXT, missing="skip")] == [("one",), ("three",)]
        listed = (tmp_path / "m_missing.txt").read_text().splitlines()
        assert [line.split(": ")[1] for line in listed] == ["no.png", "none.png"]
        assert listed[0].startswith(f"{tmp_path}/t.csv:3: ")

    def test_a_list_of_an_earlier_import_goes(self, importing, tmp_path):
        importing(self.TEXT, missing="skip")
        importing("image\n1.png\n", missing="skip")
        assert not (tmp_path / "m_missing.txt").exists()

    def test_what_is_no_answer(self, importing):
        with raises(DataError, "missing=skip: ", "t.csv:2: no.png", "folder"):
            importing("image\nno.png\n", missing="skip")
        with raises(ConfigError, "missing=drop: ", "error", "skip"):
            importing(self.TEXT, missing="drop")


class TestSplitBy:
    RATIOS = {"train": 0.5, "val": 0.25, "test": 0.25}
    TEXT = "image,film\n" + "".join(f"{i}.png,f{i % 10}\n" for i in range(40))

    def splits(self, samples):
        return {sample.id: sample.split for sample in samples}

    def test_rows_of_one_film_share_a_split(self, importing):
        found = self.splits(importing(self.TEXT, split=self.RATIOS, split_by="film"))
        for i in range(40):
            assert found[f"{i}.png"] == found[f"{i % 10}.png"]
        assert len({*found.values()}) > 1
        columns = {"image": "image"}
        apart = self.splits(importing(self.TEXT, split=self.RATIOS, columns=columns))
        assert any(apart[f"{i}.png"] != apart[f"{i % 10}.png"] for i in range(40))

    def test_rows_that_name_a_split_keep_it(self, importing):
        """All splits are named, one a row of a film at most, and all others are drawn."""
        given = {f"{i}.png": ("train", "val", "test")[i % 3] for i in range(10)}
        lines = (f"{i}.png,f{i % 10},{given.get(f'{i}.png', '')}\n" for i in reversed(range(40)))
        text = "image,film,split\n" + "".join(lines)
        found = self.splits(importing(text, split=self.RATIOS, split_by="film"))
        for i in range(40):
            assert found[f"{i}.png"] == given[f"{i % 10}.png"]

    def test_named_splits_of_one_film_stay_apart(self, importing):
        splits = ("train", "val", "test", "")
        lines = (f"{i}.png,f{i % 10},{splits[i // 10]}\n" for i in range(40))
        samples = importing(
            "image,film,split\n" + "".join(lines), split=self.RATIOS, split_by="film"
        )
        found = self.splits(samples)
        for i in range(40):
            assert found[f"{i}.png"] == (splits[i // 10] or "train")

    @pytest.mark.parametrize("named", ["train", "val", "test"])
    def test_rows_of_the_same_content_go_to_the_one_that_is_named(self, importing, photos, named):
        for i in range(1, 20):
            (photos / f"{i}.png").write_bytes((photos / "0.png").read_bytes())
        text = "image,split\n" + "".join(f"{i}.png,\n" for i in range(19)) + f"19.png,{named}\n"
        found = self.splits(importing(text, split=self.RATIOS))
        assert {*found.values()} == {named}

    def test_numbers_and_names_of_columns(self, importing):
        for more in ({"columns": {"image": "image"}}, {}):
            with raises(ConfigError, "split_by=2: ", "number", "header", "'columns={image: 1"):
                importing(self.TEXT, split=self.RATIOS, split_by=2, **more)
        with raises(ConfigError, "split_by=film: ", "number", "columns={"):
            importing(self.TEXT, split=self.RATIOS, split_by="film", columns={"image": 1})
        without = self.TEXT.partition("\n")[2]
        found = importing(without, split=self.RATIOS, split_by=2, columns={"image": 1})
        assert len(found) == 40

    def test_files_of_the_same_content_join_films(self, importing, photos):
        before = self.splits(importing(self.TEXT, split=self.RATIOS, split_by="film"))
        other = next(i for i in range(10) if before[f"{i}.png"] != before["0.png"])
        (photos / f"{10 + other}.png").write_bytes((photos / "10.png").read_bytes())
        found = self.splits(importing(self.TEXT, split=self.RATIOS, split_by="film"))
        one, two = ({found[f"{i}.png"] for i in range(n, 40, 10)} for n in (0, other))
        assert one == two
        assert len(one) == 1

    def test_what_it_needs(self, importing):
        with raises(ConfigError, "split_by=film: ", "ratios", "'split={"):
            importing(self.TEXT, split_by="film")
        with raises(DataError, "t.csv:1: ", "column 'flim'", "'film'"):
            importing(self.TEXT, split=self.RATIOS, split_by="flim")
        with raises(DataError, "t.csv:3: ", "split_by", "empty"):
            importing("image,film\n1.png,a\n2.png,\n", split=self.RATIOS, split_by="film")
