"""What a server refuses: other pages, too much, too slow, not what it says."""

import io
import json
import struct
import time
import wave
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.messages import mentions

from .running import BYTES, answer_of

pytestmark = pytest.mark.xdist_group("server")  # so that the server starts once


def bomb(side):
    """A PNG of a few bytes that claims to have many pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * (3 * side + 1))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def sound(seconds):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(bytes(16000 * seconds))
    return file.getvalue()


def picture(form="PNG"):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, form)
    return file.getvalue()


FILES = {
    "too many pixels": (bomb(30_000), ["too large", "900,000,000 pixels"]),
    "a little too many": (bomb(1001), ["too large", "1,002,001 pixels"]),
    "cut off": (picture()[:-400], ["damaged"]),
    "a cut jpeg": (picture("JPEG")[:-400], ["damaged"]),
    "text": (b"<html><script>alert(1)</script></html>", ["known format"]),
    "a program": (b"\x7fELF" + bytes(1000), ["known format"]),
    "zeros": (bytes(100_000), []),
    "too long": (sound(6), ["6 s long", "at most 4 s"]),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_cannot_be_captioned(server, name):
    body, parts = FILES[name]
    status, answer = server.caption(body, name="a.png")
    assert status == 422, answer
    mentions(answer["error"], *parts)
    assert "/tmp" not in answer["error"]
    assert "upload-" not in answer["error"]
    assert server.caption(picture())[0] == 200


def test_a_gigabyte_is_refused_before_it_is_sent(server):
    start = time.monotonic()
    connection = server.connect("Content-Length: 1000000000")
    status, answer = answer_of(connection)
    assert status == 413
    mentions(answer["error"], "1 MB", "max_upload_mb")
    assert time.monotonic() - start < 10


def test_a_body_without_length_is_counted(server):
    connection = server.connect("Transfer-Encoding: chunked")
    part = b"x" * 50_000
    sent = 0
    try:
        for _ in range(100):
            connection.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            sent += len(part)
    except OSError:  # it has been refused
        pass
    assert sent >= 1_000_000
    try:
        assert answer_of(connection)[0] == 413
    except OSError:  # the answer is lost if more arrives after it
        assert sent < 5_000_000
    assert server.caption(picture())[0] == 200


def test_a_slow_client_is_cut_off(server):
    connection = server.connect("Content-Length: 1000", body=b"x" * 10)
    start = time.monotonic()
    status, answer = answer_of(connection)
    assert status == 408
    mentions(answer["error"], "6 s")
    assert time.monotonic() - start > 4


def test_a_client_that_hangs_up(server):
    server.connect("Content-Length: 1000", body=b"x" * 10).close()
    assert server.caption(picture())[0] == 200
    server.wait_for_requests(0)


def test_too_many_requests_at_a_time(server):
    slow = [server.connect("Content-Length: 1000", body=b"x") for _ in range(12)]
    server.wait_for_requests(12)
    status, headers, body = server.send("POST", "/caption", picture(), BYTES)
    assert (status, headers["retry-after"]) == (503, "1")
    mentions(json.loads(body)["error"], "12 requests")
    for connection in slow:
        connection.close()
    server.wait_for_requests(0)
    assert server.caption(picture())[0] == 200


@pytest.mark.parametrize(
    ("headers", "body", "status", "parts"),
    [
        (BYTES, b"", 400, ["empty"]),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x--", 415, ["--data-binary"]),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"a=b", 415, ["form"]),
    ],
)
def test_bodies_that_are_no_file(server, headers, body, status, parts):
    found, _, answer = server.send("POST", "/caption", body, headers)
    assert found == status
    mentions(json.loads(answer)["error"], *parts)


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        ("num_beam=3", ["generation.num_beam", "'num_beams'"]),
        ("num_beams=three", ["generation.num_beams", "'three'"]),
        ("num_beams=[1]", ["generation.num_beams", "[1]"]),
        ("num_beams={}", ["generation.num_beams"]),
        ("num_beams=0", ["generation.num_beams", "at least 1"]),
        ("num_beams=10000", ["num_beams=10000", "16"]),
        ("num_beams=${oc.env:HOME}", ["generation.num_beams"]),
        ("temperature=1e999&do_sample=true", ["generation.temperature"]),
        ("num_beams=2&num_beams=3", ["num_beams", "more than once"]),
        ("top_p=0.5", ["generation.top_p", "do_sample"]),
        ("text=what", ["text", "no head"]),
        ("seed=-1", ["seed"]),
        ("seed=1.5", ["seed", "integer"]),
        ("explain=maybe", ["explain", "true or false"]),
        (f"name={'a' * 2000}", ["name", "1000"]),
        ("x" * 200 + "=1", ["100 characters"]),
    ],
)
def test_wrong_settings(server, query, parts):
    status, _, answer = server.send("POST", f"/caption?{query}", picture(), BYTES)
    assert status == 400, answer
    mentions(json.loads(answer)["error"], *parts)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Host": "localhost.evil.example:80"}, 403),
        ({"Host": "127.0.0.1:80@evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_pages_of_another_origin(server, headers, status):
    for method, path, body in (("GET", "/health", None), ("POST", "/caption", picture())):
        found, sent, answer = server.send(method, path, body, {**BYTES, **headers})
        assert found == status, answer
        assert "access-control-allow-origin" not in sent
        assert ("error" in json.loads(answer)) == (status == 403)


def test_a_preflight_request_allows_nothing(server):
    asks = {"Access-Control-Request-Method": "POST", "Origin": "http://evil.example"}
    status, headers, _ = server.send("OPTIONS", "/caption", None, asks)
    assert status == 403
    assert not any(name.startswith("access-control") for name in headers)
