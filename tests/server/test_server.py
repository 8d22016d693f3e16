"""Captions of a running server, and how it ends."""

import json
import os
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmtx_cli.io.quoting import quoted
from tests.command_line import refused
from tests.messages import mentions
from tests.predicting import command, lines, model_folder

from .running import BYTES, answer_of, gone, running

pytestmark = pytest.mark.xdist_group("server")  # so that the server starts once

EXACT = 1e-4
NAMES = ("0.png", "film.mp4", "1.png", "2.png", "5.jpg", "3.png", "4.png", "5.png")


@pytest.mark.parametrize("settings", [{}, {"do_sample": "true", "seed": 3}], ids=["beams", "drawn"])
def test_captions_at_the_same_time_are_those_of_the_command(
    server, served_model, media, tmp_path, settings
):
    inputs = ",".join(quoted(str(media / name)) for name in NAMES)
    args = [f"{key if key == 'seed' else f'generation.{key}'}={x}" for key, x in settings.items()]
    args += [f"ckpt={quoted(served_model)}", f"inputs=[{inputs}]", "data.eval_batch_size=3"]
    run = command("caption", tmp_path / "run", "generation.token_scores=true", *args)
    expected = lines(run / "captions.jsonl")
    before = server.health()

    def post(name):
        body = (media / name).read_bytes()
        return server.caption(body, name=f"some/{name}", token_scores="true", **settings)

    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(post, NAMES * 2)]
    for (status, row), name, wanted in zip(answers, NAMES * 2, expected * 2, strict=True):
        assert (status, row["name"]) == (200, name), row
        assert row["caption"] == wanted["caption"]
        assert row["score"] == pytest.approx(wanted["score"], abs=EXACT)
        assert [word["word"] for word in row["words"]] == row["caption"].split()
    after = server.health()
    assert after["answered"] - before["answered"] == len(NAMES) * 2
    assert after["batches"] - before["batches"] < len(NAMES) * 2
    assert after["requests"] == 0


def test_several_captions_and_heat_maps(server, media):
    body = (media / "0.png").read_bytes()
    settings = {"num_beams": 4, "num_return_sequences": 2, "token_scores": "true"}
    status, row = server.caption(body, explain="true", **settings)
    assert status == 200, row
    assert len(row["alternatives"]) == 1
    count = len(row["words"])
    assert row["maps"]["image"]["shape"] == [count, 32, 32]
    assert sum(row["maps"]["image"]["shares"]) == pytest.approx(count, abs=0.01)
    status, row = server.caption((media / "film.mp4").read_bytes(), explain="true")
    assert len(row["words"]) == row["maps"]["video"]["shape"][0]
    assert status == 200, row
    assert len(row["frames"]) == row["maps"]["video"]["shape"][1]
    assert all(frame.startswith("data:image/jpeg;base64,") for frame in row["frames"])


def test_health_and_page(server):
    found = server.health()
    assert (found["status"], found["modalities"]) == ("ok", ["image", "video", "audio"])
    assert found["max_upload_bytes"] == 10**6
    assert (found["reads_text"], found["answers"], found["explains"]) == (False, False, True)
    for path, kind in (("/", "html"), ("/page.css", "css"), ("/page.js", "javascript")):
        status, headers, body = server.send("GET", path)
        assert (status, headers["content-type"]) == (200, f"text/{kind}; charset=utf-8")
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert not re.search(rb"https?://|<[^>]+ (style|on\w+)=", body)  # nothing from elsewhere


def test_other_paths_and_methods(server):
    status, _, body = server.send("GET", "/nothing")
    assert status == 404
    mentions(json.loads(body)["error"], "/nothing", "POST /caption")
    assert server.send("GET", "/caption")[0] == 405
    assert server.send("POST", "/", b"x", BYTES)[0] == 405


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.quick_cases(1)
def test_a_signal_lets_requests_finish(served_model, media, tmp_path, number, status):
    body = (media / "1.png").read_bytes()
    with running(served_model, tmp_path, "decoders=1") as server:
        children = server.children()
        assert len(children) == 1
        half = server.connect(f"Content-Length: {len(body)}", body=body[:100])
        server.wait_for_requests(1)
        server.process.send_signal(number)
        assert server.process.stderr.readline().startswith("finishing")
        half.sendall(body[100:])
        answered, row = answer_of(half)
        assert (answered, "caption" in row) == (200, True)
        _, err = server.process.communicate(timeout=60)
        assert server.process.returncode == status, err
        mentions(err, "mmtx serve: ", "1 files captioned")
        assert "Traceback" not in err
        assert gone(children)
        assert os.listdir(tmp_path / "tmp") == []


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once(served_model, tmp_path):
    with running(served_model, tmp_path) as server:
        children = server.children()
        half = server.connect("Content-Length: 100", body=b"x")
        server.wait_for_requests(1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.stderr.readline().startswith("finishing")
        status, err = server.end(signal.SIGTERM)
        assert status == 143, err
        half.close()
        assert gone(children)


def test_decoders_end_with_a_killed_server(served_model, tmp_path):
    with running(served_model, tmp_path) as server:
        children = server.children()
        assert len(children) == 2
        server.end(signal.SIGKILL)
        assert gone(children)


def test_what_cannot_be_served(served_model, tmp_path):
    mentions(refused("serve"), "ckpt: required")
    ckpt = f"ckpt={quoted(str(served_model))}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        mentions(refused("serve", ckpt, f"port={port}"), f"port={port}", "in use", "port=0")
    mentions(refused("serve", ckpt, "port=70000"), "port", "70000")
    mentions(refused("serve", ckpt, "max_upload_mb=0", "decoders=0"), "max_upload_mb", "decoders")
    mentions(refused("serve", ckpt, "hots=x"), "hots", "host")
    dual = model_folder(tmp_path / "dual", ["contrastive"])
    mentions(
        refused("serve", f"ckpt={quoted(str(dual))}", "port=0"), "cannot caption", "contrastive"
    )
