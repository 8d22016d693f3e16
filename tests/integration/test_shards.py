"""Training from tar shards, as a user runs it."""

import signal

import pytest
import torch
from safetensors.torch import load_file

from mmtx_cli.media.shard.member_file import forget_shards
from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import PRETRAINING, mmtx, refused, stopped, succeeded
from tests.data.shards.fixtures import pack
from tests.messages import mentions

WINDOWED = ["data.order=shards", "data.shard_window=2", "data.augment.scale=[0.6,1.0]"]


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    """The same rows as files, and in shards of about eight samples each."""
    folder = tmp_path_factory.mktemp("shard_runs")
    files = make_scenes(folder / "scenes", num=60, size=32)
    shards = pack(files, folder / "shards", shard_size=0.03, shuffle=False)
    assert len(list(shards.parent.glob("*.tar"))) > 4
    return files, shards


def weights(run):
    return load_file(run / "model" / "model.safetensors")


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_a_run_from_shards_is_that_from_files_to_the_bit(manifests, tmp_path):
    runs = [
        succeeded(mmtx("pretrain", *PRETRAINING, f"data.path={path}", f"run_dir={tmp_path / name}"))
        for name, path in zip(("files", "shards"), manifests, strict=True)
    ]
    assert same(*map(weights, runs))
    results = [(run / "metrics.csv").read_text().splitlines()[-1].split(",")[2:5] for run in runs]
    assert results[0] == results[1]


def test_the_order_of_shards_needs_shards(manifests, tmp_path):
    args = [*PRETRAINING, *WINDOWED, f"data.path={manifests[0]}", f"run_dir={tmp_path / 'x'}"]
    message = refused("pretrain", *args)
    mentions(message, "data.order=shards: ", "not in tar shards", "action=shard")


@pytest.mark.slow
def test_shards_at_a_url_as_a_table_give_the_same_run(manifests, tmp_path):
    shards = manifests[1]
    common = ["pretrain", *PRETRAINING, *WINDOWED]
    local = succeeded(mmtx(*common, f"data.path={shards}", f"run_dir={tmp_path / 'local'}"))
    alone = tmp_path / "alone.jsonl"
    alone.write_text(shards.read_text())
    url = [f"data.root=file://{shards.parent}", f"data.shard_cache={tmp_path / 'fetched'}"]
    args = [*common, *url, f"data.path={alone}", f"run_dir={tmp_path / 'remote'}"]
    table = {"MMTX_TABLE_ROWS": "1", "MMTX_MANIFEST_CACHE": str(tmp_path / "cache")}
    remote = succeeded(mmtx(*args, **table))
    assert same(weights(local), weights(remote))
    model = [f"ckpt={remote}", f"run_dir={tmp_path / 'eval'}"]
    mentions(refused("eval", *model), f"ckpt={remote}: ", "set data.root=file://")
    succeeded(mmtx("eval", *model, *url))


@pytest.mark.slow
def test_a_stopped_run_in_order_of_shards_ends_as_one_never_stopped(manifests, tmp_path):
    common = ["pretrain", *PRETRAINING, *WINDOWED, f"data.path={manifests[1]}"]
    common += ["trainer.max_steps=50", "trainer.log_every=1"]
    whole = succeeded(mmtx(*common, f"run_dir={tmp_path / 'whole'}"))
    broken = tmp_path / "broken"

    def steps():
        path = broken / "metrics.csv"
        return len(path.read_text().splitlines()) if path.exists() else 0

    stopped([*common, f"run_dir={broken}"], None, signal.SIGTERM, lambda: steps() >= 10)
    succeeded(mmtx("pretrain", "resume=true", f"run_dir={broken}", "data.num_workers=2"))
    assert same(weights(whole), weights(broken))


@pytest.mark.slow
def test_a_resumed_run_notices_replaced_shards(tmp_path):
    files = make_scenes(tmp_path / "scenes", num=60, size=32)
    shards = pack(files, tmp_path / "shards", shuffle=False)
    run = f"run_dir={tmp_path / 'run'}"
    args = [*PRETRAINING, f"data.path={shards}", run, "trainer.max_epochs=1"]
    succeeded(mmtx("pretrain", *args))
    for path in (tmp_path / "scenes" / "images").iterdir():
        path.write_bytes((tmp_path / "scenes" / "images" / "00000.jpg").read_bytes())
    for path in shards.parent.iterdir():
        path.unlink()
    forget_shards()
    pack(files, shards.parent, shuffle=False)
    message = refused("pretrain", "resume=true", run, "trainer.max_steps=20")
    mentions(message, "files of split train changed", "allow_changed_data=true")
