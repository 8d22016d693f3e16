"""Random input of every kind that mmtx reads: it is read, or refused with a message.

The quick round runs a few hundred examples of each; the long one, marked slow, many thousands,
and measures memory.
"""

import copy
import json
import random
import re
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.overrides import force_add
from mmtx_cli.config.validate import check
from mmtx_cli.data.importer import coco, vqa
from mmtx_cli.data.importer import csv as csv_table
from mmtx_cli.data.importer.columns import TARGETS
from mmtx_cli.data.manifest.dataset_card import KEYS as CARD_KEYS
from mmtx_cli.data.manifest.dataset_card import read_card
from mmtx_cli.data.manifest.read import read_faulty, read_manifest
from mmtx_cli.data.manifest.sample import KEYS
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.errors import MmtxError
from mmtx_cli.io.checkpoint import read_config, read_weights
from mmtx_cli.io.model_folder import save_folder
from mmtx_cli.runs.inherit import inherit
from mmtx_cli.scoring.files.read import read_predictions, read_references
from tests.command_line import environment
from tests.hostile import CHECKPOINT, CONFIG, STATE
from tests.tiny import tiny_config

QUICK = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LIMIT = 2 * 10**9

ODD = st.sampled_from(
    [
        *("", " ", "\0", "\ud800", "..", "../x", "/etc/passwd", "~", "nan", "inf", "1e999"),
        *("9" * 400, "${oc.env:HOME}", "{0}", "[1]", "{}", "null", "a" * 300, "e\u0301"),
        *("\u202e", "a\nb", "s.npy"),
    ]
)
NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([2**63, -(2**70), 10**400, 0, -1, True, False]),
    st.floats(),
)
PLAIN = st.one_of(st.none(), NUMBERS, st.text(max_size=6), ODD)
KNOWN = st.sampled_from([*KEYS, *CARD_KEYS, "path", "key", "row", "audio", "train", "images",
                         "annotations", "questions", "image_id", "question_id", "caption", "answer",
                         "file_name", "data_subtype", "data_type", "_target_"])  # fmt: skip
NAMES = st.one_of(KNOWN, st.text(max_size=4), ODD)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=6)


def accepted(read, *args, **kwargs):
    """Read, or be refused by one message; anything else that is raised is a fault of mmtx."""
    try:
        return read(*args, **kwargs)
    except MmtxError:
        return None


def written(path: Path, value: object) -> Path:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    path.write_bytes(data)
    return path


@QUICK
@given(row=st.dictionaries(st.sampled_from(KEYS) | NAMES, VALUES, max_size=8))
def test_rows_of_a_manifest(row, tmp_path):
    path = written(tmp_path / "m.jsonl", {"id": "a", "split": "train", **row})
    manifest, faults = read_faulty(path)
    assert manifest.samples or faults
    assert all(fault.startswith(str(tmp_path)) for fault in faults)
    for sample in manifest.samples:
        assert all(Path(p).is_relative_to(tmp_path) for p in sample.image)


@QUICK
@given(
    data=st.binary(max_size=80) | st.text(max_size=80).map(lambda t: t.encode("utf-8", "ignore"))
)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
def test_bytes_of_a_manifest(data, suffix, tmp_path):
    accepted(read_manifest, written(tmp_path / f"m{suffix}", data), check_files=False)


@QUICK
@given(values=st.dictionaries(st.sampled_from(CARD_KEYS) | st.text(max_size=4), VALUES, max_size=5))
def test_cards(values, tmp_path):
    text = yaml.safe_dump(json.loads(json.dumps(values)))
    (tmp_path / "m.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    accepted(read_card, tmp_path / "m.yaml")
    accepted(read_manifest, written(tmp_path / "m.jsonl", {"id": "a", "split": "train"}))


CELLS = st.lists(st.lists(PLAIN.map(str), min_size=1, max_size=5), min_size=1, max_size=5)
HEADER = st.lists(st.sampled_from([*TARGETS, "x"]), min_size=1, max_size=5)


@QUICK
@given(header=HEADER, cells=CELLS, quoting=st.booleans(), split=st.sampled_from(["train", None]))
def test_csv_tables(header, cells, quoting, split, tmp_path):
    text = "\n".join(",".join(row) for row in [header, *cells])
    path = written(tmp_path / "t.csv", text.encode("utf-8", "surrogatepass"))
    form = csv_table.Form(quoting=quoting)
    accepted(lambda: list(csv_table.rows(path, tmp_path, form, split=split)))


ENTRIES = st.lists(OBJECTS | VALUES, max_size=4)


@QUICK
@given(value=VALUES | OBJECTS | st.fixed_dictionaries({"annotations": ENTRIES, "images": VALUES}))
def test_captions(value, tmp_path):
    path = written(tmp_path / "c.json", value)
    accepted(read_references, path)
    accepted(read_references, path, "test")
    accepted(read_predictions, path)


COCO = st.fixed_dictionaries(
    {
        "images": st.lists(
            st.fixed_dictionaries({"id": PLAIN, "file_name": PLAIN}) | VALUES, max_size=3
        ),
        "annotations": st.lists(
            st.fixed_dictionaries({"image_id": PLAIN, "caption": PLAIN}) | VALUES, max_size=3
        ),
    }
)  # fmt: skip
VQA = st.fixed_dictionaries(
    {
        "questions": st.lists(
            st.fixed_dictionaries({"question_id": PLAIN, "image_id": PLAIN, "question": PLAIN})
            | VALUES,
            max_size=3,
        ),
        "data_subtype": PLAIN,
    }
)
ANSWERS = st.fixed_dictionaries(
    {
        "annotations": st.lists(
            st.fixed_dictionaries({"question_id": PLAIN, "answers": VALUES, "answer_type": VALUES})
            | VALUES,
            max_size=3,
        )
    }
)


@QUICK
@given(value=COCO | VALUES)
def test_coco(value, tmp_path):
    path = written(tmp_path / "c.json", value)
    accepted(lambda: list(coco.rows(path, tmp_path, "train")))


@QUICK
@given(questions=VQA | VALUES, answers=ANSWERS | VALUES)
def test_vqa(questions, answers, tmp_path):
    paths = written(tmp_path / "q.json", questions), written(tmp_path / "a.json", answers)
    accepted(lambda: list(vqa.rows(*paths, tmp_path, "train")))


def places(node, path=()):
    """Every place in nested plain data."""
    yield path
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, item in items:
        yield from places(item, (*path, key))


def changed(node, path, value):
    """The data with something else in one place; without it, if ``value`` is Ellipsis."""
    if not path:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    if value is ... and len(path) == 1:
        copy.pop(path[0])
    else:
        copy[path[0]] = changed(node[path[0]], path[1:], value)
    return copy


def stored_config():
    """The config of a model that captions pictures."""
    model = tiny_config("concat", ["captioning"], ["image"])
    return {
        "model": {key: model[key] for key in ("dim", "encoder", "fusion", "head")},
        "preparation": {"image_size": 64},
        "data": {"path": "x.jsonl", "root": None},
        "label_names": None,
        "multi_label": None,
        "answer_names": None,
        "seed": 1,
        "tokenizers": [],
    }


STORED = stored_config()
PLACES = [path for path in places(STORED) if path]


@cache
def of_caption():
    """The configuration of ``mmtx caption``."""
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        cfg = compose("caption", force_add(["inputs=a.png"]))
    OmegaConf.set_struct(cfg, False)
    return cfg


@QUICK
@given(place=st.sampled_from(PLACES), value=VALUES | st.just(...))
def test_configs_of_model_folders(place, value, tmp_path):
    (tmp_path / "model.safetensors").touch()
    written(tmp_path / "config.json", changed(STORED, place, value))
    if (stored := accepted(read_config, str(tmp_path))) is None:
        return
    cfg = copy.deepcopy(of_caption())
    cfg.ckpt = str(tmp_path)

    def taken():
        inherit(cfg, stored)
        check(OmegaConf.to_container(cfg, resolve=True))

    accepted(taken)


TOKENIZER = json.loads(Tokenizer.train(["a red ball", "a blue box"] * 3, 300).to_json())
TOKENIZER_PLACES = [path for path in places(TOKENIZER) if path and len(path) < 5][:400]


@QUICK
@given(place=st.sampled_from(TOKENIZER_PLACES), value=VALUES | st.just(...))
def test_tokenizer_files(place, value, tmp_path):
    path = written(tmp_path / "tokenizer.json", changed(TOKENIZER, place, value))
    accepted(Tokenizer.load, path)
    if (made := accepted(Tokenizer.from_json, path.read_text())) is not None:
        len(made)


ENTRY = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["F32", "I64", "F8_E4M3", "BOOL", "X"]) | PLAIN,
     "shape": st.lists(NUMBERS, max_size=3) | PLAIN,
     "data_offsets": st.lists(st.integers(-1, 40), max_size=3) | PLAIN}
)  # fmt: skip


@QUICK
@given(
    header=st.dictionaries(NAMES, ENTRY | VALUES, max_size=3),
    length=st.none() | st.integers(0, 2**64 - 1),
)
def test_indices_of_weights(header, length, tmp_path):
    raw = json.dumps(header).encode()
    size = struct.pack("<Q", len(raw) if length is None else length)
    written(tmp_path / "model.safetensors", size + raw + bytes(32))
    accepted(read_weights, str(tmp_path))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "x.ckpt"
    torch.save(CHECKPOINT, path)
    return path.read_bytes()


@QUICK
@given(at=st.integers(0, 10**9), data=st.binary(min_size=1, max_size=8))
def test_bytes_of_checkpoints(at, data, archive, tmp_path):
    at %= len(archive)
    path = written(tmp_path / "x.ckpt", archive[:at] + data + archive[at + len(data) :])
    accepted(read_config, str(path))
    accepted(read_weights, str(path))


TRAVERSALS = [
    f"{before}{up}{after}"
    for before in ("", "./", "a/", "a/b/../", "link/")
    for up in ("../", "..//", "../../", "../../../../../../", "x/../../")
    for after in ("secret.png", "./secret.png", "a/../secret.png", "secret.png/")
]


@pytest.mark.parametrize("key", ["image", "video", "audio", "features"])
def test_a_hundred_paths_that_lead_out(key, tmp_path):
    root = tmp_path / "x" / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)
    for folder in (tmp_path, tmp_path / "x"):
        (folder / "secret.png").write_bytes(b"x")
    assert len(TRAVERSALS) == 100
    rows = [
        {"id": str(i), "split": "train", key: {"audio": f"{p}.npy"} if key == "features" else p}
        for i, p in enumerate(TRAVERSALS)
    ]
    path = root / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for check_files in (True, False):
        manifest, faults = read_faulty(path, check_files=check_files)
        inside = [s for s in manifest.samples if Path(s.video or s.audio or "/").is_absolute()]
        for sample in inside:
            named = [*sample.image, sample.video, sample.audio]
            named += [place.path for place in sample.features.values()]
            assert all(Path(p).resolve().is_relative_to(root) for p in named if p)
        together = [re.search(r"\ball (\d+) files\b", fault) for fault in faults]
        named = len(faults) + sum(int(found[1]) - 1 for found in together if found)
        assert named + len(manifest.samples) >= 100
        assert any("outside" in fault for fault in faults)


LONG = """
import random, resource, sys
from pathlib import Path
from tests.test_fuzz import rounds
print(rounds(Path(sys.argv[1])), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def random_value(draw: random.Random, depth: int = 0):
    """Any plain value, often an odd one."""
    kind = draw.randrange(9 if depth < 3 else 7)
    odd = ["\0", "\ud800", "../x", "/etc/passwd", "nan", "", "9" * 400, "a.npy", "e\u0301" * 50]
    if kind < 3:
        return draw.choice(odd)
    if kind < 7:
        return draw.choice([None, True, 0, -1, 2**70, 10**400, 1.5, float("nan"), float("-inf")])
    size = draw.randrange(4)
    if kind == 7:
        return [random_value(draw, depth + 1) for _ in range(size)]
    keys = [*KEYS, "path", "row", "audio", "\ud800", ""]
    return {draw.choice(keys): random_value(draw, depth + 1) for _ in range(size)}


def rounds(folder: Path) -> int:
    """Ten thousand rows, and two hundred checkpoints and model folders; how many were read."""
    draw = random.Random(0)
    rows = [
        {"id": str(i), "split": "train", **{k: random_value(draw) for k in draw.sample(KEYS, 3)}}
        for i in range(10_000)
    ]
    path = folder / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, faults = read_faulty(path)
    assert faults
    count = len(rows)
    torch.save(CHECKPOINT, folder / "whole.ckpt")
    data = (folder / "whole.ckpt").read_bytes()
    for number in range(100):
        bad = bytearray(data)
        for _ in range(draw.randrange(1, 20)):
            bad[draw.randrange(len(bad))] = draw.randrange(256)
        (folder / "x.ckpt").write_bytes(bad)
        accepted(read_weights, str(folder / "x.ckpt"))
        model = save_folder(folder / f"model{number}", CONFIG, STATE)
        where = draw.choice(["config.json", "tokenizer.json", "model.safetensors"])
        bad = bytearray((model / where).read_bytes())
        for _ in range(draw.randrange(1, 20)):
            bad[draw.randrange(len(bad))] = draw.randrange(256)
        (model / where).write_bytes(bad)
        accepted(read_config, str(model))
        accepted(read_weights, str(model))
        count += 2
    return count


@pytest.mark.slow
def test_the_long_round(tmp_path):
    """Nothing but messages, in less than two gigabytes; nothing is written elsewhere."""
    inside, watched = tmp_path / "inside", tmp_path / "watched"
    inside.mkdir()
    watched.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LONG, str(inside)],
        cwd=watched,
        env=environment(PYTHONPATH=str(Path(__file__).parents[1])),
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    count, peak = map(int, done.stdout.split())
    assert count == 10_200
    print(f"\n{count} inputs, at most {peak / 1e9:.2f} GB")
    assert peak < LIMIT
    assert [*watched.iterdir()] == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["inside", "watched"]
