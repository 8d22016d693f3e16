"""Which hosts and origins a server answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.server.access import host_of, refusal

NAMES = ["captions.example.org"]


@pytest.mark.parametrize(
    ("netloc", "host"),
    [
        ("127.0.0.1:8000", "127.0.0.1"),
        ("LOCALHOST", "localhost"),
        ("[::1]:8000", "::1"),
        ("a:x", None),
        ("a:99999", None),
        ("a/b", None),
        ("localhost@evil.example", None),
        ("", None),
    ],
)
def test_hosts(netloc, host):
    assert host_of(netloc) == host


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "192.168.1.7", "[::1]", *NAMES])
def test_own_hosts_are_answered(host):
    for netloc in (host, f"{host}:8000"):
        assert refusal({"host": netloc}, NAMES) is None
        assert refusal({"host": netloc, "origin": f"http://{netloc}"}, NAMES) is None
        assert refusal({"host": netloc, "origin": f"https://{netloc}"}, NAMES) is None
        assert refusal({"host": netloc, "origin": f"http://{host}:1"}, NAMES)
        assert refusal({"host": netloc, "sec-fetch-site": "cross-site"}, NAMES)


@given(st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z]{2,10}){1,3}(:[0-9]{1,4})?", fullmatch=True))
def test_names_of_others_are_not_answered(netloc):
    """Whatever a page names itself, and also if it claims to be of the same origin."""
    expected = netloc.partition(":")[0] not in NAMES
    assert bool(refusal({"host": netloc, "origin": f"http://{netloc}"}, NAMES)) == expected


@given(st.text(max_size=40))
def test_any_origin_but_ones_own_is_refused(origin):
    own = {"http://localhost:8000", "https://localhost:8000"}
    found = refusal({"host": "localhost:8000", "origin": origin}, NAMES)
    assert bool(found) == (origin.lower() not in own)
