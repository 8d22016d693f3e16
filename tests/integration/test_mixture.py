"""Several corpora learned together, as a user runs it."""

import csv
import json
import signal

import pytest
import torch
from safetensors.torch import load_file

from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import CONTRASTIVE, mmtx, refused, stopped, succeeded
from tests.messages import mentions

SPLITS = ["train"] * 4 + ["val", "test"]
HEADS = "head=[contrastive,masked_lm,classification]"


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Pictures with captions, texts alone, and pictures with labels, by name."""
    folder = tmp_path_factory.mktemp("corpora")
    path = make_scenes(folder / "scenes", num=60, size=32)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    columns = {
        "pairs": ("image", "captions"),
        "texts": ("text",),
        "labeled": ("image", "label"),
    }
    made = {}
    for name, kept in columns.items():
        made[name] = path.with_name(f"{name}.jsonl")
        own = [
            {"id": row["id"], "split": SPLITS[i % 6], **{key: row[key] for key in kept}}
            for i, row in enumerate({**row, "text": row["captions"][0]} for row in rows)
        ]
        made[name].write_text("".join(json.dumps(row) + "\n" for row in own[: 40 + 4 * len(made)]))
    return made


def mixture(corpora, weights=(2, 1, 1)):
    """Override that mixes them."""
    heads = {
        "pairs": "[contrastive,masked_lm]",
        "texts": "[masked_lm]",
        "labeled": "[classification]",
    }
    parts = [
        f"{{name: {name}, path: '{path}', weight: {weight}, heads: {heads[name]}"
        + (", text: text}" if name == "texts" else "}")
        for (name, path), weight in zip(corpora.items(), weights, strict=True)
    ]
    return f"data.mixture=[{','.join(parts)}]"


COMMON = ("pretrain", *CONTRASTIVE, HEADS, "fusion=concat", "data.text=captions")


def table(run):
    with open(run / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(corpora, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "mixed"
    args = [*COMMON, mixture(corpora), f"run_dir={run}", "trainer.max_steps=40"]
    return succeeded(mmtx(*args, "trainer.log_every=1"))


def test_losses_and_epochs_are_noted_by_corpus(trained, corpora):
    rows = [row for row in table(trained) if row.get("train/loss")]
    assert len(rows) == 40
    own = {
        "pairs": {"contrastive", "masked_lm"},
        "texts": {"masked_lm"},
        "labeled": {"classification"},
    }
    drawn = dict.fromkeys(own, 0)
    for row in rows:
        noted = {
            tuple(key.split("/")[1:3])
            for key, value in row.items()
            if value and key.startswith("train/") and key.count("/") == 3
        }
        ((corpus,),) = [{corpus for corpus, _ in noted}]
        assert {head for _, head in noted} == own[corpus]
        drawn[corpus] += 1
    sizes = {name: path.read_text().count('"train"') for name, path in corpora.items()}
    for name, count in drawn.items():
        assert float(rows[-1][f"epoch/{name}"]) == pytest.approx(8 * count / sizes[name], rel=1e-4)
        assert count > 2
    val = [row for row in table(trained) if row.get("val/loss")][-1]
    assert {key for key, value in val.items() if value and key.count("/") == 3} == {
        f"val/{corpus}/{head}/loss" for corpus, heads in own.items() for head in heads
    }


@pytest.mark.slow
@pytest.mark.parametrize("mix", ["corpora", "samples"])
def test_a_resumed_mixture_matches_an_uninterrupted_one(corpora, tmp_path, mix):
    common = [*COMMON, mixture(corpora), f"data.mixture_mode={mix}", "trainer.max_steps=60"]
    common += ["trainer.log_every=1", "trainer.save_every=5"]
    whole = succeeded(mmtx(*common, f"run_dir={tmp_path / 'whole'}"))
    broken = tmp_path / "broken"

    def far():
        return (broken / "metrics.csv").exists() and len(table(broken)) >= 12

    done = stopped([*common, f"run_dir={broken}"], None, signal.SIGINT, far)
    assert done.returncode == 130, done.stderr
    assert len(table(broken)) < 55, "the run was to be stopped in the middle"
    succeeded(mmtx("pretrain", "resume=true", f"run_dir={broken}", "data.num_workers=1"))
    expected, found = (load_file(d / "model" / "model.safetensors") for d in (whole, broken))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.slow
@pytest.mark.parametrize("mix", ["corpora", "samples"])
def test_two_processes_learn_of_a_mixture_what_one_does(corpora, tmp_path, mix):
    """Where one skips what a batch lacks, two wait for each other's gradients, which are zero."""
    texts = tmp_path / "texts.jsonl"  # captions of no picture
    rows = [json.loads(line) for line in corpora["pairs"].read_text().splitlines()]
    texts.write_text("".join(json.dumps({**row, "image": None}) + "\n" for row in rows))
    parts = mixture({**corpora, "texts": texts}).replace(", text: text", "")
    parts = parts.replace("masked_lm", "captioning")
    heads = ["head=[contrastive,captioning,classification]", "head.captioning.streams=[image]"]
    heads += ["decoder.depth=1", "decoder.num_heads=2"]
    common = [
        "pretrain",
        *CONTRASTIVE,
        *heads,
        parts,
        "data.text=captions",
        f"data.mixture_mode={mix}",
    ]
    common += ["fusion=concat", "decoder.dropout=0", "encoder.text.dropout=0"]
    common += ["trainer.max_steps=12", "trainer.log_every=1"]
    two = ["trainer.devices=2", "trainer.strategy=ddp"]
    one = table(succeeded(mmtx(*common, f"run_dir={tmp_path / 'one'}")))
    both = table(succeeded(mmtx(*common, *two, f"run_dir={tmp_path / 'two'}")))
    assert len(one) == len(both) == 12 + 1
    for a, b in zip(one, both, strict=True):
        for name in (key for key in a if key.endswith("loss") and a[key]):
            assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-4, abs=1e-4), name


@pytest.mark.slow
def test_every_corpus_is_evaluated(trained):
    folder = succeeded(mmtx("eval", f"ckpt={trained}", f"run_dir={trained}/eval", "bootstrap=5"))
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert {row["id"].partition("/")[0] for row in rows} == {"pairs", "texts", "labeled"}
    by_head = {
        head: {row["id"].partition("/")[0] for row in rows if head in row}
        for head in ("contrastive", "masked_lm", "classification")
    }
    assert by_head == {
        "contrastive": {"pairs"},
        "masked_lm": {"pairs", "texts"},
        "classification": {"labeled"},
    }
    shown = {row["id"]: row["inputs"].get("text") for row in rows}
    assert all(shown[i] for i in shown if not i.startswith("labeled"))
    result = json.loads((folder / "result.json").read_text())
    assert "classification/accuracy" in result["metrics"]
    groups = result["groups"].items()
    assert {name: {key.partition("/")[0] for key in own["metrics"]} for name, own in groups} == {
        "pairs": {"contrastive", "masked_lm"},
        "texts": {"masked_lm"},
        "labeled": {"classification"},
    }


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            ("name: texts", "name: pairs"),
            ["data.mixture[1].name: ", "'pairs'", "data.mixture[0]"],
        ),
        (
            ("[classification]", "[clasification]"),
            ["data.mixture[2].heads: ", "'clasification'", "'classification'"],
        ),
        (("weight: 2", "weight: 0"), ["data.mixture[0].weight: 0"]),
        (("weight: 2,", ""), ["data.mixture[0].weight: None", "above 0"]),
        (("texts.jsonl", "textz.jsonl"), ["textz.jsonl: ", "texts.jsonl"]),
        (("weight: 2", "wieght: 2"), ["data.mixture[0].wieght: ", "'weight'"]),
        (("text: text", "text: words"), ["data.mixture[1].text: ", "'words'", "captions"]),
    ],
)
def test_faults_of_a_mixture_are_reported(corpora, change, parts):
    changed = mixture(corpora).replace(*change)
    assert changed != mixture(corpora)
    mentions(refused(*COMMON, changed), *parts)


def test_a_head_without_targets_in_any_dataset(corpora):
    alone = [f"data.path={corpora['labeled']}", "head=contrastive", "fusion=decision"]
    message = refused(*COMMON, *alone)
    mentions(message, "labeled.jsonl: ", "captions", "encoder.text ", "encoder.text=null")
    two = (
        f"data.mixture=[{{name: a, path: '{corpora['texts']}', text: text}},"
        f"{{name: b, path: '{corpora['labeled']}'}}]"
    )
    message = refused(*COMMON, two, "head=contrastive", "fusion=decision")
    for name in ("texts", "labeled"):
        mentions(message, f"{name}.jsonl: ", "split=train", "(contrastive)")
    apart = corpora["pairs"].with_name("apart.jsonl")
    rows = [json.loads(line) for line in corpora["pairs"].read_text().splitlines()]
    for i, row in enumerate(rows):
        del row["image" if i % 2 else "captions"]
    apart.write_text("".join(json.dumps(row) + "\n" for row in rows))
    message = refused(*COMMON, f"data.path={apart}", "head=contrastive", "fusion=decision")
    mentions(
        message, "head.contrastive: ", "training row", "image and text", "head.contrastive.pairs"
    )
    pairs = [f"data.path={corpora['pairs']}", "data.batch_size=1", "head=contrastive"]
    message = refused(*COMMON, *pairs, "fusion=decision")
    mentions(message, "data.batch_size: 1 ", "head.contrastive", " 2")
