"""Where METEOR's data come from, and what is said of data that are not there or damaged."""

import gzip
import sys
import zipfile

import numpy as np
import pytest

from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.metric.meteor import load, paraphrase_file
from mmtx_cli.metric.meteor.load import JAR, load_meteor
from mmtx_cli.metric.meteor.paraphrase_file import read_paraphrases
from tests.messages import raises
from tests.metric.meteor.java import write_table

ROWS = [("in front of", "before"), ("before", "in front of"), ("a b", "a"), ("before", "prior to")]
MEMBERS = {
    "function/english.words": "the\nof\n",
    "nonbreaking/english.prefixes": "# a comment\n\nMr\nNo #NUMERIC_ONLY#\n",
    "nonbreaking/german.prefixes": "bzw\n",
    "synonym/english.synsets": "couch\n1\nsofa\n1\n",
    "synonym/english.exceptions": "woman\nwomen\n",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mmtx"


@pytest.fixture
def folder(tmp_path):
    """A folder of METEOR 1.5 with little in it."""
    write_jar(tmp_path, MEMBERS)
    write_table(tmp_path, "en", ROWS)
    return tmp_path


def write_jar(folder, members):
    with zipfile.ZipFile(folder / JAR, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)


def phrase_pairs(table):
    """Return the pairs of a table as texts, by their phrase."""
    node = list(table.words)
    for keys in table.levels:
        node += [f"{node[key // len(table.words)]} {table.words[key % len(table.words)]}"
                 for key in keys]  # fmt: skip
    phrase, paraphrase, _ = table.pairs(np.arange(table.num_nodes))
    return [(node[left], node[right]) for left, right in zip(phrase, paraphrase, strict=True)]


def test_reads_a_folder(folder):
    data = load_meteor("en-US", folder)
    assert data.function_words == {"the", "of"}
    assert data.prefixes == {"Mr": False, "No": True}
    assert data.synonyms.sets("couches") == data.synonyms.sets("sofa")
    assert data.missing == ()
    assert sorted(phrase_pairs(data.paraphrases)) == sorted(ROWS)
    german = load_meteor("de", folder)
    assert german.missing == ("paraphrase",)
    assert german.normalized("Das ist's.") == ["das", "ist", "'", "s", "."]
    assert load_meteor("zh", folder).stages == ("exact",)


def test_a_stage_without_its_package_is_missing(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "snowballstemmer", None)
    monkeypatch.setitem(sys.modules, "snowballstemmer.english_stemmer", None)
    assert load_meteor("en", folder).missing == ("stem",)


def test_names_the_package_or_the_key_where_there_are_no_data(tmp_path, monkeypatch):
    with raises(ConfigError, f"meteor_data={tmp_path}: ", JAR, "data/"):
        load_meteor("en", tmp_path)
    monkeypatch.setattr(load, "find_spec", lambda name: None)
    with raises(ConfigError, "metrics: meteor ", "mmtx[meteor]", " meteor_data=FOLDER"):
        load_meteor("en")


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (None, "zip"),
        ({"function/english.words": "the\n"}, "nonbreaking/english.prefixes"),
        (MEMBERS | {"synonym/english.synsets": "x" * (2**26 + 1)}, "larger than"),
        (MEMBERS | {"function/english.words": b"\xff"}, "utf-8"),
        (
            MEMBERS | {"synonym/english.synsets": "couch\n1 2\nsofa\nred\n1\n"},
            "synonym/english.synsets:4: expected the numbers of the synonym sets of 'sofa'",
        ),
        (MEMBERS | {"synonym/english.synsets": "couch\n1\nsofa"}, "english.synsets:4: "),
    ],
)
def test_a_damaged_archive_is_refused(folder, members, reason):
    if members is None:
        (folder / JAR).write_bytes(b"no archive")
    else:
        write_jar(folder, members)
    with raises(DataError, f"{folder / JAR}: ", reason):
        load_meteor("en", folder)


def test_the_table_is_kept_in_a_form_that_is_read_quickly(folder, cache, monkeypatch):
    path = folder / "data" / "paraphrase-en.gz"
    first = read_paraphrases(path)
    (kept,) = cache.iterdir()
    monkeypatch.setattr(paraphrase_file, "_parsed", None)
    again = read_paraphrases(path)
    assert phrase_pairs(again) == phrase_pairs(first)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    write_table(folder, "en", ROWS[:1])
    assert phrase_pairs(read_paraphrases(path)) == ROWS[:1]
    assert len(list(cache.iterdir())) == 2
    assert kept.exists()


@pytest.mark.parametrize("damage", ["cut", "text", "numbers", "pickle"])
def test_a_damaged_kept_form_is_written_again(folder, cache, damage):
    path = folder / "data" / "paraphrase-en.gz"
    expected = phrase_pairs(read_paraphrases(path))
    (kept,) = cache.iterdir()
    if damage == "cut":
        kept.write_bytes(kept.read_bytes()[:-200])
    elif damage == "text":
        kept.write_text("{}")
    else:
        with np.load(kept) as arrays:
            parts = dict(arrays)
        if damage == "numbers":
            parts["paraphrases"] = parts["paraphrases"] + 10**6
        else:
            parts["first"] = np.array([{}], dtype=object)
        with open(kept, "wb") as file:
            np.savez(file, **parts)
    before = kept.read_bytes()
    assert phrase_pairs(read_paraphrases(path)) == expected
    assert kept.read_bytes() != before


def test_reads_the_table_where_nothing_can_be_kept(folder, cache):
    cache.parent.mkdir()
    cache.write_text("a file where the folder would be")
    assert sorted(phrase_pairs(read_paraphrases(folder / "data" / "paraphrase-en.gz"))) == sorted(
        ROWS
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no gzip file", "gzip"),
        (gzip.compress(b"0.5\na\n", mtime=0), "triples"),
        (gzip.compress(b"", mtime=0), "triples"),
        (gzip.compress(b"0.5\n" + b"a " * 20 + b"\nb\n", mtime=0), "15 words"),
        (gzip.compress(b"0.5\n\xff\nb\n", mtime=0), "utf-8"),
        (gzip.compress(b"0.5\na\nb\n" * 1000, mtime=0)[:-12], "end"),
    ],
)
def test_a_file_that_is_no_table_is_refused(folder, content, reason):
    path = folder / "data" / "paraphrase-en.gz"
    path.write_bytes(content)
    with raises(DataError, f"{path}: cannot be read as paraphrases of METEOR 1.5: ", reason):
        load_meteor("en", folder)


@pytest.mark.parametrize(
    ("content", "line", "expected"),
    [
        (b"0.5\na\nb\nmany\nc\nd\n", 4, "a probability, not 'many'"),
        (b"0.5\na\nb\nnan\nc\nd\n", 4, "a probability"),
        (b"0.5\na\nb\n0.5\nc\n\n", 6, "a phrase, not ''"),
        (b"\n" * 3_000_000, 1, "a probability"),
    ],
)
def test_a_damaged_line_of_a_table_is_named(folder, cache, content, line, expected):
    path = folder / "data" / "paraphrase-en.gz"
    path.write_bytes(gzip.compress(content, mtime=0))
    with raises(DataError, f"{path}:{line}: expected ", expected):
        load_meteor("en", folder)
    assert not cache.exists()
