import io
import tarfile
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.shard.index import INDEX, ShardFacts, ShardIndex, index_part, write_index
from mmtx_cli.media.shard.members import Member, members_of
from tests.messages import raises

parts = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"), exclude_characters="/"),
    min_size=1,
    max_size=90,
).filter(lambda part: part.isprintable() and part not in (".", ".."))
names = (
    st.lists(parts, min_size=1, max_size=4).map("/".join).filter(lambda n: len(n.encode()) < 900)
)


def tar_of(path, entries, form=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(names, st.binary(max_size=1500), max_size=8),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_members_lie_where_the_tar_says(tmp_path, entries, form):
    path = tmp_path / "000000.tar"
    # GNU tar and tarfile drop a trailing slash
    tar_of(path, entries.items(), form)
    data = path.read_bytes()
    found = list(members_of(str(path)))
    assert {m.name: data[m.offset : m.offset + m.size] for m in found} == entries
    facts = ShardFacts(path.name, len(data), len(found))
    write_index(tmp_path / INDEX, [index_part(facts, found, None)])
    index = ShardIndex(str(tmp_path))
    for member in found:
        place = index.find(path.name, member.name)
        assert (place.offset, place.size, place.crc) == (member.offset, member.size, None)


def header(name="a.jpg", size=4, **fields):
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def raw_size(block, size):
    """Put a size in base 256 into a header, and correct the checksum."""
    data = bytearray(block)
    data[124:136] = b"\xff" * 12 if size < 0 else bytes([0x80]) + size.to_bytes(11, "big")
    if size < 0:
        data[124:136] = (size & ((1 << 96) - 1) | 0xFF << 88).to_bytes(12, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


END = bytes(1024)
GOOD = header().tobuf() + b"data" + bytes(508)
HOSTILE = {
    "negative size": raw_size(header().tobuf(), -512) + END,
    "huge size": raw_size(header().tobuf(), 1 << 80) + END,
    "truncated": header(size=5000).tobuf() + bytes(1000),
    "huge extended header": raw_size(header(type=tarfile.XHDTYPE).tobuf(), 1 << 40) + END,
    "negative PAX size": header().tobuf()[:0]
    + header(pax_headers={"size": "-1024"}).tobuf(tarfile.PAX_FORMAT)
    + END,
    "many nested headers": header("././@LongLink", 0, type=tarfile.GNUTYPE_LONGNAME).tobuf() * 5000,
    "garbage after a member": GOOD + b"x" * 1024,
    "not a tar": b"\x89PNG" * 400,
    "truncated header": GOOD + GOOD[:100],
    "hard link": header(type=tarfile.LNKTYPE, linkname="/etc/passwd", size=0).tobuf() + END,
    "symbolic link": header(type=tarfile.SYMTYPE, linkname="../x", size=0).tobuf() + END,
    "device": header(type=tarfile.CHRTYPE, size=0).tobuf() + END,
    "pipe": header(type=tarfile.FIFOTYPE, size=0).tobuf() + END,
    "absolute name": header("/etc/passwd").tobuf() + b"data" + bytes(508) + END,
    "name outside": header("a/../../b").tobuf() + b"data" + bytes(508) + END,
    "control characters": header("a\x1b[31m.jpg").tobuf() + b"data" + bytes(508) + END,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_tars_are_refused(kind, tmp_path):
    path = tmp_path / "bad.tar"
    path.write_bytes(HOSTILE[kind])
    with pytest.raises(UnreadableError) as error:
        list(members_of(str(path)))
    assert error.value.path == str(path)
    assert "\x1b" not in error.value.reason


def test_bad_members_can_be_collected_beside_good_ones(tmp_path):
    path = tmp_path / "mixed.tar"
    path.write_bytes(HOSTILE["hard link"][:512] + GOOD + END)
    refused = []
    assert [m.name for m in members_of(str(path), refused)] == ["a.jpg"]
    assert len(refused) == 1
    assert "link" in refused[0]


def test_a_name_that_occurs_twice_is_refused():
    members = [Member("a", 512, 1), Member("a", 1536, 1)]
    with raises(UnreadableError, "x.tar: ", "'a' occurs twice"):
        index_part(ShardFacts("x.tar", 4096, 2), members, None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_index_is_an_error_or_gives_places_within_the_shard(tmp_path, data):
    path = tmp_path / "ok" / INDEX
    path.parent.mkdir(exist_ok=True)
    found = [Member(f"{i}.jpg", 512 + 1024 * i, 100) for i in range(5)]
    write_index(path, [index_part(ShardFacts("0.tar", 8192, 5), found, range(5))])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    (tmp_path / INDEX).write_bytes(content)
    with suppress(UnreadableError):
        index = ShardIndex(str(tmp_path))
        for i in range(5):
            place = index.find("0.tar", f"{i}.jpg")
            assert 0 <= place.offset <= place.offset + place.size <= index.shards[0].bytes
