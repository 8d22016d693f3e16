import json
import os
from pathlib import Path

import pytest

from mmtx_cli.data.importer import coco, flickr8k
from mmtx_cli.data.importer import csv as csv_table
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.manifest.writer import write_manifest
from mmtx_cli.errors import ConfigError, DataError
from tests.messages import faults_mention, raises

FLICKR = Path(os.environ.get("MMTX_TEST_DATA", "../shared/data")) / "flickr8k_mini"


def faults_of(rows):
    with pytest.raises(DataError) as caught:
        list(rows)
    return caught.value.faults


class TestCoco:
    @pytest.fixture
    def content(self):
        return {
            "images": [{"id": 9, "file_name": "0009.jpg"}, {"id": 4, "file_name": "0004.jpg"}],
            "annotations": [
                {"image_id": 4, "id": 1, "caption": "A cat.\n"},
                {"image_id": 9, "id": 2, "caption": "a dog"},
                {"image_id": 4, "id": 3, "caption": "a  cat sits"},
            ],
        }

    def rows(self, tmp_path, content):
        path = tmp_path / "captions.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return coco.rows(path, "val2017", "val")

    def test_rows(self, tmp_path, content):
        places, rows = zip(*self.rows(tmp_path, content), strict=True)
        file = tmp_path / "captions.json"
        assert places == (f"{file}: images[0]", f"{file}: images[1]")
        assert list(rows) == [
            {"id": "9", "split": "val", "image": "val2017/0009.jpg", "captions": ["a dog"]},
            {
                "id": "4",
                "split": "val",
                "image": "val2017/0004.jpg",
                "captions": ["A cat.", "a cat sits"],
            },
        ]

    def test_faults(self, tmp_path, content):
        content["annotations"] += [{"image_id": 4}, {"image_id": 5, "caption": "x"}]
        path = tmp_path / "captions.json"
        faults_mention(
            faults_of(self.rows(tmp_path, content)),
            (f"{path}: annotations[3]: ", "caption", "download"),
            (f"{path}: ", "image_id 5 ", "images", "download"),
        )
        for text, parts in (
            ({"images": []}, [": ", "'annotations'", "COCO"]),
            ("{\n,", [":2: ", "JSON"]),
            ("[" * 100_000, [": ", "JSON"]),
        ):
            faults = faults_of(self.rows(tmp_path, text))
            faults_mention(faults, (f"{path}{parts[0]}", *parts[1:]))
        faults = faults_of(coco.rows(tmp_path / "no", "x", "val"))
        faults_mention(faults, (f"{tmp_path / 'no'}: ", "annotations= "))

    def test_ids_that_are_none_or_taken(self, tmp_path, content):
        content["images"] += [{"id": 9, "file_name": "9.jpg"}, {"id": [1], "file_name": "x.jpg"}]
        content["annotations"].append({"image_id": {}, "caption": "x"})
        path = tmp_path / "captions.json"
        faults_mention(
            faults_of(self.rows(tmp_path, content)),
            (f"{path}: annotations[3]: ", "caption", "image_id"),
            (f"{path}: images[2]: ", "id 9 ", f"{path}: images[0]"),
            (f"{path}: images[3]: ", "id", "file_name"),
        )

    def test_many_faults_are_cut_short(self, tmp_path, content):
        content["annotations"] += [{"image_id": 4}] * 30
        faults = faults_of(self.rows(tmp_path, content))
        assert len(faults) == 21
        faults_mention(faults[-1:], ("… ", " 10 "))


class TestFlickr8k:
    def rows(self, tmp_path, tokens, **lists):
        (tmp_path / "tokens.txt").write_text(tokens)
        for split, text in lists.items():
            (tmp_path / f"{split}.txt").write_text(text)
        files = {split: tmp_path / f"{split}.txt" for split in lists}
        return flickr8k.rows(tmp_path / "tokens.txt", "pictures", files)

    def test_rows(self, tmp_path):
        tokens = "b.jpg#0\tA dog .\na.jpg#0\tA cat .\na.jpg#1\tThe cat .\nx.jpg.1#0\tstray\n"
        found = self.rows(tmp_path, tokens, train="a.jpg\n\n", test="b.jpg")
        places, rows = zip(*found, strict=True)
        assert places == (f"{tmp_path}/train.txt:1", f"{tmp_path}/test.txt:1")
        assert list(rows) == [
            {
                "id": "a",
                "split": "train",
                "image": "pictures/a.jpg",
                "captions": ["A cat .", "The cat ."],
            },
            {"id": "b", "split": "test", "image": "pictures/b.jpg", "captions": ["A dog ."]},
        ]

    def test_faults(self, tmp_path):
        tokens = "a.jpg#0\tA cat .\na.jpg A cat .\na.jpg#1\t \n"
        faults = faults_of(self.rows(tmp_path, tokens, train="a.jpg\nb.jpg", test="a.jpg"))
        faults_mention(
            faults,
            (f"{tmp_path}/tokens.txt:2: ", "NAME#k<TAB>caption"),
            (f"{tmp_path}/tokens.txt:3: ", "NAME#k<TAB>caption"),
            (f"{tmp_path}/train.txt:2: ", "b.jpg ", "caption", "tokens.txt"),
            (f"{tmp_path}/test.txt:1: ", "a.jpg ", f"{tmp_path}/train.txt:1"),
        )
        nothing = self.rows(tmp_path, "a.jpg#0\tA cat .\n", train="\n")
        faults_mention(faults_of(nothing), (f"{tmp_path}/train.txt: ", "image"))

    @pytest.mark.skipif(not FLICKR.is_dir(), reason=f"no test data in {FLICKR}")
    def test_real_files(self, tmp_path):
        lists = {split: FLICKR / f"{split}_images.txt" for split in ("train", "val", "test")}
        images = (FLICKR / "images").resolve()
        rows = (row for _, row in flickr8k.rows(FLICKR / "captions.token.txt", images, lists))
        assert write_manifest(tmp_path / "f.jsonl", rows, root=images) == 1000
        manifest = read_manifest(tmp_path / "f.jsonl", root=images)
        assert [len(manifest.split(s)) for s in ("train", "val", "test")] == [800, 100, 100]
        assert all(len(sample.captions) == 5 for sample in manifest.samples)


class TestCsv:
    def rows(self, tmp_path, text, columns=None, **kwargs):
        (tmp_path / "t.csv").write_text(text)
        form = csv_table.Form(columns or {}, kwargs.pop("delimiter", ","))
        return csv_table.rows(tmp_path / "t.csv", "pictures", form, **kwargs)

    def test_lines_of_an_image_are_one_row(self, tmp_path):
        text = 'image,caption\na.jpg,"one, two"\nb.jpg,three\na.jpg,four\n'
        places, rows = zip(*self.rows(tmp_path, text, split="train"), strict=True)
        assert places == (f"{tmp_path}/t.csv:2", f"{tmp_path}/t.csv:3")
        assert list(rows) == [
            {
                "id": "a.jpg",
                "split": "train",
                "image": "pictures/a.jpg",
                "captions": ["one, two", "four"],
            },
            {"id": "b.jpg", "split": "train", "image": "pictures/b.jpg", "captions": ["three"]},
        ]

    def test_columns_of_other_names(self, tmp_path):
        text = "no|file| sound|what|part\n1|a.jpg|a.wav|cat|test\n2|a.jpg|b.wav|cat|val\n"
        columns = {"id": "no", "image": "file", "audio": "sound", "label": "what", "split": "part"}
        (_, one), (_, two) = self.rows(tmp_path, text, columns, delimiter="|")
        assert one["audio"] == "pictures/a.wav"
        assert (two["id"], two["image"], two["label"]) == ("2", "pictures/a.jpg", "cat")
        assert (one["split"], two["split"]) == ("test", "val")

    def splits(self, tmp_path, text, columns=None, **kwargs):
        return [row["split"] for _, row in self.rows(tmp_path, text, columns, **kwargs)]

    def test_a_column_of_splits_need_not_be_named(self, tmp_path):
        text = "file,comment,split\na.jpg,x,test\nb.jpg,y,dev\n"
        columns = {"image": "file", "caption": "comment"}
        assert self.splits(tmp_path, text, columns) == ["test", "val"]
        assert self.splits(tmp_path, text, columns, split="train") == ["train", "train"]

    def test_a_split_for_lines_without_one(self, tmp_path):
        text = "image,split\na.jpg,test\nb.jpg,\n"
        assert self.splits(tmp_path, text, split="train") == ["test", "train"]
        assert self.splits(tmp_path, text, split=lambda ident: ident[0]) == ["test", "b"]

    def test_tabs(self, tmp_path):
        for name, delimiter in (("t.tsv", ","), ("t.csv", "\\t")):
            (tmp_path / name).write_text("image\tcaption\na.jpg\tx, y\n")
            rows = csv_table.rows(
                tmp_path / name, "x", csv_table.Form(delimiter=delimiter), split="val"
            )
            assert [row["captions"] for _, row in rows] == [["x, y"]]
        with raises(ConfigError, "delimiter=;;: ", "one character"):
            list(self.rows(tmp_path, "image\na\n", delimiter=";;"))

    def test_columns_that_are_not_taken_are_listed(self, tmp_path):
        for text, columns, left in (
            ("image,caption,split,url,area\na,b,val,c,1\n", None, ["url, area"]),
            ("file,split,caption,url\na,val,b,c\n", {"image": "file"}, ["caption, url"]),
            ("image,caption,split\na,b,val\n", None, []),
        ):
            notes = []
            list(self.rows(tmp_path, text, columns, notes=notes))
            faults_mention(notes, *((f"{tmp_path}/t.csv: ", f": {names}") for names in left))
            assert all(note.endswith(f": {names}") for note, names in zip(notes, left, strict=True))

    def test_pictures_alone_are_taken(self, tmp_path):
        assert self.splits(tmp_path, "image,split\na,train\n") == ["train"]

    def test_it_is_a_table_that_is_missing(self, tmp_path):
        (tmp_path / "table.csv").touch()
        (tmp_path / "m.parquet").touch()
        faults = faults_of(csv_table.rows(tmp_path / "tabl.csv", "x"))
        faults_mention(faults, (f"{tmp_path}/tabl.csv: ", "table", " table.csv"))
        faults = faults_of(csv_table.rows(tmp_path / "m.json", "x"))
        faults_mention(faults, (f"{tmp_path}/m.json: ", "table", "captions="))

    @pytest.mark.parametrize(
        ("text", "columns", "place", "parts"),
        [
            ("imgs,c\na,b\n", {"image": "img"}, ":1: ", ["column 'img'", "'imgs'"]),
            ("image,c\na,b\n", {"picture": "image"}, None, ["columns.picture: ", "id, image"]),
            ("a,b\nx,y\n", None, ":1: ", ["column", "images", "a, b", "columns={image: "]),
            ("image,split\n,test\n", None, ":2: ", ["id", "image"]),
            ("image,split\na,test\nb,\n", None, ":3: ", ["split", "cell", "split=train"]),
            ("image,split\na,tset\n", None, ":2: ", ["split", '"tset"', " test"]),
            ("image,caption\na,b\n", None, ":1: ", ["'split'", "image, caption", " split="]),
            ("image,split,Caption\na,val,b\n", None, ":1: ", ["column", "captions", "caption: "]),
            (
                "image,split,caption_0,caption_1\na,val,b,c\n",
                None,
                ":1: ",
                ["column", "captions", "caption: "],
            ),
            (
                "image,split,category\na,val,b\n",
                None,
                ":1: ",
                ["column", "labels", "image, split, category"],
            ),
            ("image,split,caption\na,val,b\nc,val\n", None, ":3: ", ["2 cells", "3 columns"]),
            ("id,image,split,caption\n1,a,val,b\nc\n", None, ":3: ", ["1 cells", "4 columns"]),
            (
                "image,label,split\na,x,val\na,y,val\n",
                None,
                ":3: ",
                ["a ", "label 'y'", "'x'", "t.csv:2"],
            ),
            ("image,caption\n", None, ": ", ["rows", "header"]),
        ],
    )
    def test_faults(self, tmp_path, text, columns, place, parts):
        first = faults_of(self.rows(tmp_path, text, columns))[0]
        faults_mention([first], ("" if place is None else f"{tmp_path}/t.csv{place}", *parts))


class TestWrite:
    ROW = {"id": "a", "split": "train", "image": "x/a.jpg"}

    def test_files_beside_the_manifest_need_no_root(self, tmp_path):
        path = tmp_path / "m.jsonl"
        rows = [self.ROW | {"image": [str(tmp_path / "x" / "a.jpg"), "x/b.jpg"], "text": None}]
        write_manifest(path, rows, card={"source": "here"})
        assert json.loads(path.read_text()) == self.ROW | {"image": ["x/a.jpg", "x/b.jpg"]}
        card = (tmp_path / "m.yaml").read_text()
        assert "root" not in card
        assert "source: here" in card
        assert "train: 1" in card

    def test_a_root_below_the_manifest(self, tmp_path):
        write_manifest(tmp_path / "m.jsonl", [self.ROW], root=tmp_path / "deep")
        (sample,) = read_manifest(tmp_path / "m.jsonl", check_files=False).samples
        assert sample.image == (str(tmp_path / "deep/x/a.jpg"),)

    def test_a_root_elsewhere_goes_into_the_card(self, tmp_path):
        path, root = tmp_path / "out" / "m.jsonl", tmp_path / "media"
        write_manifest(path, [self.ROW | {"image": str(root / "x" / "a.jpg")}], root=root)
        assert json.loads(path.read_text()) == self.ROW
        (sample,) = read_manifest(path, root=root, check_files=False).samples
        assert sample.image == (str(root / "x/a.jpg"),)
        with raises(DataError, f"{path.with_suffix('.yaml')}: ", f"root {root} ", "data.root="):
            read_manifest(path, check_files=False)

    def test_an_older_card_keeps_what_it_says_besides(self, tmp_path):
        (tmp_path / "m.yaml").write_text("license: CC0\nroot: old\ncounts: {test: 5}\n")
        write_manifest(tmp_path / "m.jsonl", [self.ROW])
        card = read_manifest(tmp_path / "m.jsonl", check_files=False).card
        assert (card.license, card.root, card.counts) == ("CC0", None, {"train": 1})

    def test_a_crash_leaves_the_old_manifest(self, tmp_path):
        path = tmp_path / "m.jsonl"
        write_manifest(path, [self.ROW])
        before = path.read_text()
        with raises(DataError, "row b: ", tmp_path.parents[1] / "a.jpg", "root"):
            write_manifest(path, [self.ROW, self.ROW | {"id": "b", "image": "../../a.jpg"}])
        assert path.read_text() == before
        assert sorted(os.listdir(tmp_path)) == ["m.jsonl", "m.yaml"]
