import json
import os
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmtx_cli.data.manifest.read import Manifest, read_manifest
from mmtx_cli.data.manifest.writer import write_manifest
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.io.unicode import composed
from tests.messages import faults_mention, mentions, raises

ROW = {"id": "a", "split": "train", "image": "a.jpg"}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    for name in ("a.jpg", "b.jpg", "c.wav", "d.mp4"):
        (root / name).write_bytes(b"x")
    return root


def write(folder, *rows, name="m.jsonl"):
    path = folder / name
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def faults_of(path, **kwargs):
    with pytest.raises(DataError) as caught:
        read_manifest(path, **kwargs)
    return caught.value.faults


def only_fault(folder, row, **kwargs):
    path = write(folder, row)
    (fault,) = faults_of(path, **kwargs)
    assert fault.startswith(f"{path}:1: ")
    return fault


def read_one(folder, row, **kwargs):
    (sample,) = read_manifest(write(folder, row), **kwargs).samples
    return sample


def test_every_field_is_read(folder):
    row = {
        "id": "a17",
        "split": "validation",
        "image": ["a.jpg", "b.jpg"],
        "video": "d.mp4",
        "start": 1,
        "end": 2.5,
        "audio": "c.wav",
        "text": "what color is it?",
        "captions": ["a red ball", "the ball is red"],
        "label": ["red", "round"],
        "answers": {"red": 8, "dark red": 2},
        "group": "seen",
        "speaker": "theo",
    }
    manifest = read_manifest(write(folder, row))
    (sample,) = manifest.samples
    assert sample.split == "val"
    assert sample.image == (str(folder / "a.jpg"), str(folder / "b.jpg"))
    assert (sample.video, sample.start, sample.end) == (str(folder / "d.mp4"), 1.0, 2.5)
    assert sample.audio == str(folder / "c.wav")
    assert sample.captions == ("a red ball", "the ball is red")
    assert sample.label == ("red", "round")
    assert sample.answers == {"red": 8.0, "dark red": 2.0}
    assert (sample.group, sample.line) == ("seen", 1)
    assert manifest.where(sample) == f"{folder / 'm.jsonl'}:1"
    assert manifest.split("val") == [sample]
    assert manifest.split("train") == []


@pytest.mark.parametrize("absent", [None, ""])
def test_null_and_empty_are_missing_modalities(folder, absent):
    names = ("image", "video", "audio", "text", "captions", "label", "answers", "start", "group")
    sample = read_one(folder, {"id": 7, "split": "test"} | dict.fromkeys(names, absent))
    assert sample.id == "7"
    assert (sample.image, sample.captions, sample.answers) == ((), (), {})
    assert (sample.video, sample.audio, sample.text, sample.label) == (None,) * 4


@pytest.mark.parametrize("label", ["cat", 3, 0.5, -1])
def test_labels_keep_their_type(folder, label):
    read = read_one(folder, ROW | {"label": label}).label
    assert read == label
    assert type(read) is type(label)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"id": None}, ["id", '"id": "a17"']),
        ({"id": True}, ["id ", "true", '"id": "a17"']),
        ({"split": "trian"}, ["split", '"trian"', " train"]),
        ({"split": "x"}, ["split", '"x"', "train, val or test"]),
        ({"split": None}, ["split", "train, val or test", "'data.split={train: 0.8"]),
        ({"image": 5}, ["image ", " 5", "list of paths"]),
        ({"image": ["a.jpg", ""]}, ["image ", ' "" ', " 2", "list of paths"]),
        ({"image": "nope.jpg"}, ["image: ", "/nope.jpg", "data.root="]),
        ({"image": "https://x.org/a.jpg"}, ["image: ", "URL", "download"]),
        ({"image": "../../a.jpg"}, ["image: ../../a.jpg ", "root", "data.allow_outside_root=true"]),
        ({"image": "/etc/passwd"}, ["image: /etc/passwd ", "root", "data.allow_outside_root=true"]),
        ({"image": "a\0.jpg"}, ["image", "NUL", "path"]),
        ({"image": "."}, ["image: ", "regular file", "path"]),
        ({"video": ["d.mp4"]}, ["video ", '["d.mp4"]', "one path"]),
        ({"audio": 3}, ["audio ", " 3", "one path"]),
        ({"text": ["a"]}, ["text ", '["a"]', "quotes"]),
        ({"text": "\ud83d"}, ["text ", "surrogate", "characters"]),
        ({"captions": "a cat"}, ["captions ", '"a cat"', "list of captions"]),
        ({"captions": []}, ["captions ", "empty list", "key"]),
        ({"captions": ["a", " "]}, ["captions ", '" "', " 2", "list of captions"]),
        ({"captions": ["a", 3]}, ["captions ", " 3 ", " 2", "list of captions"]),
        ({"label": True}, ["label ", "true", "a name, a number or a list"]),
        ({"label": float("nan")}, ["label ", "NaN", "finite number"]),
        ({"label": ["a", 1]}, ["label ", " 1 ", " 2", "names"]),
        ({"answers": {"red": 0}}, ["answers ", "'red'", "weight 0", "positive"]),
        ({"answers": {"red": "8"}}, ["answers ", "'red'", 'weight "8"', "positive"]),
        ({"answers": ["red"]}, ["answers ", '["red"]', "weights"]),
        ({"answers": {}}, ["answers ", "{}", "weights"]),
        ({"start": 2, "end": 2}, ["start 2 ", "end 2", "seconds"]),
        ({"start": -1}, ["start ", "-1", "seconds", "2.5"]),
        ({"end": "soon"}, ["end ", '"soon"', "seconds", "2.5"]),
        ({"captoins": ["a"]}, ["key 'captoins'", "'captions'"]),
        ({"lable": "a"}, ["key 'lable'", "'label'"]),
        ({"Audio": "c.wav"}, ["key 'Audio'", "'audio'"]),
    ],
)
def test_a_fault_names_location_problem_and_remedy(folder, change, parts):
    mentions(only_fault(folder, ROW | change), *parts)


@pytest.mark.parametrize("key", ["speaker", "idx", "url", "question_id", "level", "coco_id"])
def test_unknown_user_keys_are_ignored(folder, key):
    assert read_one(folder, ROW | {key: 1}).id == "a"


def test_a_near_miss_can_be_declared_in_the_card(folder):
    (folder / "m.yaml").write_text("extra_keys: [stars]")
    assert read_one(folder, ROW | {"stars": 5}).id == "a"
    assert read_one(folder, ROW | {"caption": "x", "captions": ["y"]}).captions == ("y",)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ('{"id": "b", }', ["column 13"]),
        ("[1, 2]", ["array"]),
        ('"text"', ["str"]),
        ("[" * 100_000, []),
        ("{" + '"id": ' + "9" * 5000 + "}", ["digits"]),  # as Python says it
    ],
)
def test_a_line_that_is_no_object(folder, line, parts):
    path = write(folder, ROW, "", line)
    faults_mention(faults_of(path), (f"{path}:3: ", "JSON", "object", *parts))


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('{"id": 1, "split": "test", "text": "a", "id": 2}', "id"),
        ('{"id": "b", "text": "x", "te\\u0078t": "y"}', "text"),
        ('{"id": "b", "answers": {"yes": 1, "yes": 0.5}}', "yes"),
        ('{"id": "b", "features": {"text": {"path": "x", "path": "y"}}}', "path"),
    ],
)
def test_a_key_that_occurs_twice_in_an_object(folder, line, key):
    path = write(folder, ROW, line)
    faults_mention(faults_of(path), (f"{path}:2: ", f"key {key!r}", "object"))


def test_a_key_that_occurs_twice_in_a_cell_of_a_table(folder):
    path = folder / "m.csv"
    path.write_text('id,split,answers\na,test,"{""yes"": 1, ""yes"": 0.5}"\n')
    faults_mention(faults_of(path), (f"{path}:2: answers: ", "key 'yes'", "object"))


def test_all_faults_are_reported_up_to_a_limit(folder):
    path = write(folder, *[{"id": str(i), "split": "x"} for i in range(30)])
    faults = faults_of(path)
    assert len(faults) == 21
    faults_mention(faults[-1:], ("… ", " 10 "))
    assert [f.split(": ")[0] for f in faults[:3]] == [f"{path}:{n}" for n in (1, 2, 3)]
    assert len(faults_of(path, max_faults=5)) == 6


def test_a_duplicate_id_names_both_lines(folder):
    path = write(folder, ROW, ROW | {"id": "b"}, ROW)
    faults_mention(faults_of(path), (f"{path}:3: ", "id 'a'", "line 1"))


def test_encodings(folder):
    path = folder / "m.jsonl"
    line = json.dumps(ROW | {"text": "größer"}, ensure_ascii=False)
    path.write_bytes(b"\xef\xbb\xbf" + line.encode())
    assert read_manifest(path).samples[0].text == "größer"
    path.write_bytes(line.encode("utf-16"))
    faults_mention(faults_of(path), (f"{path}:1: ", "UTF-16", "UTF-8"))
    path.write_bytes(b'{"id": "0"}\n' + line.encode("latin-1"))
    (fault,) = [f for f in faults_of(path) if f.startswith(f"{path}:2: ")]
    mentions(fault, "UTF-8", "byte")


def test_the_nearest_manifest_is_suggested(folder):
    write(folder, ROW, name="train.jsonl")
    faults_mention(
        [*faults_of(folder / "tain.jsonl"), *faults_of(folder), *faults_of(folder / "no/m.jsonl")],
        (f"{folder / 'tain.jsonl'}: ", " train.jsonl"),
        (f"{folder}: ", "folder", " train.jsonl"),
        (f"{folder / 'no/m.jsonl'}: ", f"folder {folder / 'no'}"),
    )


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("captions.json", "`mmtx data action=import importer=coco`"),
        ("captions.txt", "`mmtx data action=import importer=flickr8k`"),
        ("a.jpg", ".jsonl, .ndjson,"),
    ],
)
def test_a_file_that_is_no_manifest_is_reported_with_the_import_command(folder, name, remedy):
    (folder / name).write_text("{}")
    faults_mention(faults_of(folder / name), (f"{folder / name}: ", "manifest", remedy))


def test_an_empty_manifest_is_refused(folder):
    path = write(folder, "")
    faults_mention(faults_of(path), (f"{path}: ", "rows", "JSON object"))


class TestRoot:
    def test_a_root_given_wins_over_the_cards(self, folder, tmp_path):
        path = write(tmp_path, ROW)
        (tmp_path / "m.yaml").write_text("root: set")
        assert read_manifest(path).samples[0].image == (str(folder / "a.jpg"),)
        faults_mention(
            faults_of(path, root=tmp_path), (f"{path}:1: image: ", f"{tmp_path}/a.jpg", "root=")
        )
        assert len(read_manifest(path, root=folder).samples) == 1

    def test_links_out_of_the_root_are_refused(self, folder, tmp_path):
        (tmp_path / "secret").mkdir()
        (tmp_path / "secret" / "s.jpg").write_bytes(b"x")
        os.symlink(tmp_path / "secret", folder / "dir")
        os.symlink(tmp_path / "secret" / "s.jpg", folder / "file.jpg")
        os.symlink(folder / "a.jpg", folder / "inside.jpg")
        for name in ("dir/s.jpg", "file.jpg"):
            mentions(only_fault(folder, ROW | {"image": name}), f"image: {name} ", "link", "root")
        assert read_one(folder, ROW | {"image": "inside.jpg"})
        assert read_one(folder, ROW | {"image": "dir/s.jpg"}, allow_outside_root=True)

    def test_a_root_that_is_itself_a_link(self, folder, tmp_path):
        write(folder, ROW, ROW | {"id": "b", "image": str(folder / "b.jpg")})
        os.symlink(folder, tmp_path / "link")
        assert len(read_manifest(tmp_path / "link" / "m.jsonl").samples) == 2

    def test_paths_that_stay_inside_are_fine(self, folder):
        sample = read_one(folder, ROW | {"image": "./x/../a.jpg"})
        assert sample.image == (str(folder / "a.jpg"),)

    def test_files_are_left_unseen_on_request(self, folder):
        assert read_one(folder, ROW | {"image": "nope.jpg"}, check_files=False)
        assert "outside" in only_fault(folder, ROW | {"image": "../x"}, check_files=False)


class TestCard:
    def test_what_it_says(self, folder):
        (folder / "m.yaml").write_text(
            "license: CC0\nsource: here\nlabel_names: [b, a]\ncounts: {train: 1}\nmade_by: me\n"
        )
        manifest = read_manifest(write(folder, ROW | {"label": "a"}))
        assert manifest.card.license == "CC0"
        assert manifest.card.other == {"made_by": "me"}
        assert manifest.label_names == ["b", "a"]

    def test_labels_that_it_does_not_list(self, folder):
        (folder / "m.yaml").write_text("label_names: [circle, square]")
        fault = only_fault(folder, ROW | {"label": ["circle", "sqare"]})
        mentions(fault, "label 'sqare'", "label_names", "'square'")

    def test_counts_that_do_not_hold(self, folder):
        (folder / "m.yaml").write_text("counts: {train: 2, test: 0}")
        faults = faults_of(write(folder, ROW))
        faults_mention(faults, (f"{folder / 'm.yaml'}: ", "2 rows", "train", " 1"))

    @pytest.mark.parametrize(
        ("text", "place", "parts"),
        [
            ("root: [", ":1: ", ["YAML"]),
            ("- a", ": ", ["mapping", "root: images"]),
            ("label_names: [a, 1]", ": label_names ", ['["a", 1]', "list", "names"]),
            ("counts: {training: 3}", ": counts ", ["training", "rows"]),
            ("label_name: [a]", ": ", ["key 'label_name'", "'label_names'"]),
        ],
    )
    def test_faults(self, folder, text, place, parts):
        (folder / "m.yaml").write_text(text)
        faults_mention(faults_of(write(folder, ROW)), (f"{folder / 'm.yaml'}{place}", *parts))

    def test_label_names_come_from_the_training_split_only(self, folder):
        rows = [
            ROW | {"id": str(i), "split": split, "label": label}
            for i, (split, label) in enumerate(
                [("train", "b"), ("train", ["a", "b"]), ("test", "z"), ("train", 3)]
            )
        ]
        assert read_manifest(write(folder, *rows)).label_names == ["a", "b"]

    def test_label_type(self, folder):
        (folder / "m.yaml").write_text("label_type: number")
        assert read_one(folder, ROW | {"label": "3"}).label == 3.0
        mentions(only_fault(folder, ROW | {"label": "x"}), "label ", '"x"', "finite number")
        (folder / "m.yaml").write_text("label_type: name")
        assert read_one(folder, ROW | {"label": 3}).label == "3"


class TestRatios:
    def test_every_row_keeps_its_split(self, folder):
        rows = [{"id": str(i)} for i in range(400)]
        ratios = {"train": 0.5, "val": 0.25, "test": 0.25}
        all_of = read_manifest(write(folder, *rows), split=ratios, seed=3)
        half_of = read_manifest(write(folder, *rows[::2]), split=ratios, seed=3)
        splits = {sample.id: sample.split for sample in all_of.samples}
        assert all(splits[sample.id] == sample.split for sample in half_of.samples)
        assert 150 < len(all_of.split("train")) < 250
        assert 60 < len(all_of.split("val")) < 140
        other = read_manifest(write(folder, *rows), split=ratios, seed=4)
        assert {s.id: s.split for s in other.samples} != splits

    def test_a_rows_own_split_wins(self, folder):
        assert read_one(folder, ROW | {"split": "dev"}, split={"test": 1.0}).split == "val"

    @pytest.mark.parametrize("ratios", [{"train": 0.5}, {"training": 1.0}, {"train": 2, "val": -1}])
    def test_no_ratios(self, folder, ratios):
        with raises(ConfigError, "data.split={", "'data.split={train: 0.8"):
            read_manifest(write(folder, ROW), split=ratios)

    def test_ratios_are_shown_as_they_are_written(self, folder):
        with raises(ConfigError, "data.split={train: 0.8, val: 0.1}: ", "sum", " 1"):
            read_manifest(write(folder, ROW), split={"train": 0.8, "val": 0.1})


class TestCsv:
    def test_cells(self, folder):
        path = folder / "m.csv"
        path.write_text(
            "id,split,image,captions,label,answers,start,end,video\n"
            "a,train,a.jpg,a cat | the cat,7,red,,,\n"
            'b,test,"[""a.jpg"", ""b.jpg""]","[""one, two""]",8,"{""red"": 2}",1,2,d.mp4\n'
        )
        one, two = read_manifest(path).samples
        assert one.captions == ("a cat", "the cat")
        assert (one.label, one.answers, one.video) == ("7", {"red": 1.0}, None)
        assert two.image == (str(folder / "a.jpg"), str(folder / "b.jpg"))
        assert (two.captions, two.answers, two.start) == (("one, two",), {"red": 2.0}, 1.0)
        assert two.line == 3

    def test_tabs_and_a_byte_order_mark(self, folder):
        path = folder / "m.tsv"
        path.write_text("id\tsplit\ttext\n1\ttrain\tone, two\n", encoding="utf-8-sig")
        assert read_manifest(path).samples[0].text == "one, two"

    @pytest.mark.parametrize(
        ("cells", "labels"),
        [
            ("0.5 2 1e3", [0.5, 2.0, 1000.0]),
            ("0 1 2", ["0", "1", "2"]),
            ("a 0.5 b", ["a", "0.5", "b"]),
        ],
    )
    def test_a_column_of_numbers(self, folder, cells, labels):
        path = folder / "m.csv"
        lines = [f"{i},train,{cell}" for i, cell in enumerate(cells.split())]
        path.write_text("id,split,label\n" + "\n".join(lines))
        assert [sample.label for sample in read_manifest(path).samples] == labels

    @pytest.mark.parametrize(
        ("text", "place", "parts"),
        [
            ("id,split,lable\na,train,x\nb,train,y\n", ":2: ", ["key 'lable'", "'label'"]),
            ("id,split\na,train,x\n", ":2: ", ["3 cells", "2 columns"]),
            ('id,split,text\na,train,"two\nlines"\nb,x,y\n', ":4: ", ["split", '"x"']),
            ('id,split,text\na,train,"open\n', ":2: ", ["CSV", "quote"]),
            ("id,id\na,b\n", ":1: ", ["column id ", "twice"]),
            ('id,split,captions\na,train,"[1,"\n', ":2: captions ", ["JSON", "cell"]),
            ("Id,split\na,train\nb,val\n", ":2: ", ["key 'Id'", "'id'"]),
            ("id,spilt\na,train\nb,val\n", ":2: ", ["key 'spilt'", "'split'"]),
        ],
    )
    def test_faults(self, folder, text, place, parts):
        path = folder / "m.csv"
        path.write_text(text)
        faults_mention(faults_of(path), (f"{path}{place}", *parts))

    def test_a_raw_table_is_told_once_how_it_becomes_a_manifest(self, folder):
        path = folder / "table.csv"
        path.write_text("file,comment\na.jpg,one\nb.jpg,two\n")
        command = f"`mmtx data action=import importer=csv captions={path} images="
        faults_mention(faults_of(path), (f"{path}:1: ", "column 'id'", "file, comment", command))

    def test_a_column_of_splits_that_lacks_is_told_once(self, folder):
        path = folder / "m.csv"
        path.write_text("id,image\na,a.jpg\nb,no.jpg\n")
        ratios = "'data.split={train: 0.8, val: 0.1, test: 0.1}'"
        faults_mention(
            faults_of(path),
            (f"{path}:1: ", "column 'split'", "id, image", ratios),
            (f"{path}:3: image: ", "no.jpg"),
        )
        path.write_text("id,image\na,a.jpg\n")
        assert read_manifest(path, split={"test": 1}).samples[0].split == "test"


def test_parquet(folder):
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    rows = [
        ROW | {"captions": ["a cat", "the cat"], "answers": [("red", 2.0)], "label": None},
        ROW | {"id": "b", "captions": None, "answers": None, "label": "x"},
    ]
    answers = pyarrow.field("answers", pyarrow.map_(pyarrow.string(), pyarrow.float64()))
    fields = [pyarrow.field(name, pyarrow.string()) for name in ("id", "split", "image", "label")]
    captions = pyarrow.field("captions", pyarrow.list_(pyarrow.string()))
    table = pyarrow.Table.from_pylist(rows, pyarrow.schema([*fields, captions, answers]))
    parquet.write_table(table, folder / "m.parquet")
    one, two = read_manifest(folder / "m.parquet").samples
    assert (one.captions, one.answers, one.label) == (("a cat", "the cat"), {"red": 2.0}, None)
    assert (two.captions, two.answers, two.label) == ((), {}, "x")
    (folder / "n.parquet").write_bytes(b"PAR1 not")
    faults_mention(faults_of(folder / "n.parquet"), (f"{folder / 'n.parquet'}:1: ", "Parquet"))


NAME = st.text(min_size=1, max_size=20).filter(lambda text: text.strip())


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize(
    ("cells", "parts"),
    [
        (("2", "train"), ["2 cells", "3 columns"]),
        (("2", "train", "nan"), ["label ", "'nan'", "finite number"]),
        (("2", "train", "-inf"), ["label ", "'-inf'", "finite number"]),
        (("2", "test", "1e400"), ["label ", "'1e400'", "finite number"]),
    ],
)
def test_cells_of_a_table_that_would_be_lost(folder, suffix, cells, parts):
    rows = [("id", "split", "label"), ("1", "train", "1.5"), cells, ("3", "val", "2")]
    glue = "," if suffix == "csv" else "\t"
    path = folder / f"m.{suffix}"
    path.write_text("".join(glue.join(row) + "\n" for row in rows))
    faults_mention(faults_of(path), (f"{path}:3: ", *parts))


def test_a_class_may_be_called_nan(folder):
    path = folder / "m.csv"
    path.write_text("id,split,label\n1,train,nan\n2,train,fine\n")
    assert [sample.label for sample in read_manifest(path).samples] == ["nan", "fine"]


TEXT = NAME.map(composed)
PATH = st.text(string.ascii_letters + "é .-_", min_size=1, max_size=8).filter(
    lambda text: text.strip(". ") == text and text
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"id": NAME, "split": st.sampled_from(("train", "val", "test"))},
        optional={
            "image": PATH | st.lists(PATH, min_size=1, max_size=3),
            "audio": PATH,
            "text": TEXT,
            "captions": st.lists(TEXT, min_size=1, max_size=3),
            "label": TEXT | st.integers(-9, 9) | st.floats(-9, 9) | st.lists(TEXT, min_size=1),
            "answers": st.dictionaries(TEXT, st.integers(1, 9), min_size=1, max_size=3),
        },
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda row: row["id"],
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ROWS)
def test_what_is_written_is_read(tmp_path, rows):
    path = tmp_path / "m.jsonl"
    assert write_manifest(path, rows) == len(rows)
    manifest = read_manifest(path, check_files=False)
    assert isinstance(manifest, Manifest)
    for row, sample in zip(rows, manifest.samples, strict=True):
        images = row.get("image", [])
        images = [images] if isinstance(images, str) else images
        assert sample.image == tuple(str(tmp_path / name) for name in images)
        assert (sample.id, sample.split, sample.text) == (row["id"], row["split"], row.get("text"))
        assert sample.captions == tuple(row.get("captions", ()))
        assert sample.answers == row.get("answers", {})
        label = row.get("label")
        assert sample.label == (tuple(label) if isinstance(label, list) else label)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.binary(max_size=40) | st.text(max_size=40).map(str.encode), max_size=4))
def test_any_bytes_give_a_data_error_or_rows(tmp_path, lines):
    for name in ("m.jsonl", "m.csv"):
        (tmp_path / name).write_bytes(b"\n".join(lines))
        try:
            read_manifest(tmp_path / name)
        except DataError as error:
            assert str(tmp_path / name) in str(error)  # noqa: PT017
            str(error).encode()


def test_the_path_is_absolute_from_a_relative_manifest(folder, monkeypatch):
    write(folder, ROW)
    monkeypatch.chdir(folder)
    assert read_manifest("m.jsonl").samples[0].image == (str(folder / "a.jpg"),)
