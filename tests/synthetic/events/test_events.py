"""The films, the sounds and the words are each read back by means of their own, and compared."""

import hashlib
import json
import os
import re
import wave
from collections import Counter, defaultdict
from random import Random

import av
import numpy as np
import pytest
from PIL import Image

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError
from mmtx_cli.synthetic.events import event, grammar, make, make_events, soundtrack
from mmtx_cli.synthetic.events import frames as film
from mmtx_cli.synthetic.scenes import make_scenes
from mmtx_cli.synthetic.scenes.make import unseen_pairs
from mmtx_cli.synthetic.scenes.render import _RGB
from mmtx_cli.synthetic.scenes.scene import COLORS, PAIRS, SHAPES
from tests.data_action import run_action
from tests.messages import raises

SIZE = 48


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    # a name that a careless command line or decoder would take apart
    folder = tmp_path_factory.mktemp("events") / "odd: 100%d 'é"
    return read_manifest(make_events(folder, num=40, size=SIZE, workers=2))


def events(num=300):
    return [event.sample_event(Random(f"{i}"), PAIRS) for i in range(num)]


# what a sentence says, read back


DOES = {f"moves {way}": way for way in ("left", "right", "up", "down")} | {
    "grows": "grows",
    "shrinks": "shrinks",
    "stays still": "stays",
}
DOING = {
    does.replace("moves", "moving")
    .replace("grows", "growing")
    .replace("shrinks", "shrinking")
    .replace("stays", "staying"): motion
    for does, motion in DOES.items()
}
MOTION = f"(?:{'|'.join((*DOES, *DOING))})"
THING = f"an? ({'|'.join(COLORS)}) ({'|'.join(SHAPES)})"
SOUND = f"an? (?P<sound>{'|'.join(event.SOUNDS)})"
WHEN = {"at the beginning": 0, "near the start": 0, "at the end": 1, "near the end": 1}


def parse_caption(caption):
    """Return all that a caption claims: pair, order of motions, sound, when, and meanwhile."""
    claims = {"pair": re.search(THING, caption).groups()}
    if found := re.search(SOUND, caption):
        claims["sound"] = found["sound"]
    if found := re.search("|".join(WHEN), caption):
        claims["phase"] = WHEN[found[0]]
    # "moves left and then up" is said in full
    caption = re.sub(
        r"(moves \w+) and then (left|right|up|down)\b", r"\1 and then moves \2", caption
    )
    motions = [{**DOES, **DOING}[motion] for motion in re.findall(MOTION, caption)]
    if found := re.search(rf"(?: as it | as {THING} | while {THING} )({MOTION})", caption):
        claims["heard"] = DOES[found[found.lastindex]]
    if caption.startswith("first"):
        parts = zip(caption.split(", then"), motions, strict=True)
        with_sound = [motion for part, motion in parts if " with " in part]
        if with_sound:
            claims["heard"] = " and ".join(with_sound)
    if len(motions) > 1:
        first, second = motions[:2]
        swapped = re.search(rf"{MOTION} after", caption)
        claims["motions"] = (second, first) if swapped else (first, second)
    return claims


def truth(one):
    return {
        "pair": one.things[0].pair,
        "sound": one.sound.kind,
        "phase": one.phase,
        "heard": one.motions[one.phase],
        "motions": one.motions,
    }


@pytest.mark.parametrize("lacks", [None, "image", "video", "audio"])
def test_every_caption_is_true_and_omits_missing_modalities(lacks):
    given = Counter()
    for number, one in enumerate(events()):
        captions = grammar.captions(one, Random(f"words {number}"), lacks)
        assert len(set(captions)) == 5
        for caption in captions:
            claims = parse_caption(caption)
            assert claims.items() <= truth(one).items(), caption
            assert ("sound" in claims) == (lacks != "audio")
            given.update(claims.keys())
        if lacks not in ("audio", "video"):
            assert parse_caption(captions[0]).keys() == {"pair", "sound", "phase", "motions"}
    unknown = {"audio": {"sound", "phase", "heard"}, "video": {"motions", "heard"}}
    assert given.keys() == truth(one).keys() - unknown.get(lacks, set())


def test_a_false_caption_would_be_found():
    one = next(e for e in events(2000) if e.motions == ("left", "up") and e.phase == 1)
    for wrong in (
        "a {} moves up before it moves left",
        "a {} moves left after it moves up",
        "a {} moves up and then left",
        "first a {} moves left with a {sound}, then it moves up",
        "a {sound} is heard while a {} moves left",
        "a {} moves left before it moves up, with a {sound} near the start",
    ):
        caption = wrong.format(" ".join(one.things[0].pair), sound=one.sound.kind)
        assert not parse_caption(caption).items() <= truth(one).items(), caption


@pytest.mark.parametrize("lacks", [None, "video", "audio"])
def test_answers_are_true_and_can_be_known(lacks):
    asked_for = set()
    for number, one in enumerate(events()):
        asked, answer = grammar.question(one, Random(f"words {number}"), lacks)
        known = {
            "what color is it?": one.things[0].color,
            "what shape is it?": one.things[0].shape,
            "what sound is heard?": one.sound.kind,
            "when is the sound heard?": ("beginning", "end")[one.phase],
            "what does it do while the sound is heard?": one.motions[one.phase],
        }
        if asked not in known:
            found = re.fullmatch(f"is the sound heard while it ({MOTION})\\?", asked)
            if found:
                known[asked] = "yes" if DOES[found[1]] == one.motions[one.phase] else "no"
            else:
                motion = one.motions[0 if asked.endswith("first?") else 1]
                way = motion in ("left", "right", "up", "down")
                assert asked.startswith("which way does it move" if way else "what does it do")
                known[asked] = motion
        assert answer == known[asked]
        asked_for.add(asked)
        assert not (lacks == "audio" and "sound" in asked)
        assert not (lacks == "video" and (" move" in asked or " do " in asked or "while" in asked))
    assert {"what color is it?", "what shape is it?"} <= asked_for
    assert len(asked_for) == {None: 16, "video": 4, "audio": 6}[lacks]


# the rows


def test_rows(made):
    assert [len(made.split(s)) for s in ("train", "val", "test")] == [32, 4, 4]
    assert made.card.counts == {"train": 32, "val": 4, "test": 4}
    assert made.label_names == ["left", "right", "up", "down", "grows", "shrinks", "stays"]
    for sample in made.samples:
        assert len(set(sample.captions)) == 5
        assert sample.text.endswith("?")
        assert len(sample.answers) == 1


def test_the_label_is_the_movement_during_the_sound(made):
    labels = [sample.label for sample in made.samples if sample.label]
    assert len(set(labels)) == 7
    for sample in made.samples:
        claims = parse_caption(sample.captions[0])
        assert ("motions" in claims) == bool(sample.video)
        assert ("sound" in claims) == bool(sample.audio)
        if sample.video and sample.audio:
            assert sample.label == claims["motions"][claims["phase"]]
        else:
            assert sample.label is None


def test_neither_film_nor_sound_alone_gives_the_label():
    phases, labels = defaultdict(list), defaultdict(set)
    for one in events(4000):
        phases[one.motions].append(one.phase)
        labels[one.sound.kind, one.phase].add(one.label)
    assert len(phases) == 7 * 6
    assert all(0.25 < np.mean(phase) < 0.75 for phase in phases.values())
    assert len(labels) == 6 * 2
    assert all(len(found) == 7 for found in labels.values())


def test_the_compositional_split_is_disjoint(made):
    unseen = {tuple(pair.split()) for pair in made.card.other["unseen_pairs"]}
    assert unseen == set(unseen_pairs(0))
    for sample in made.samples:
        pairs = {parse_caption(caption)["pair"] for caption in sample.captions}
        assert len(pairs) == 1
        assert (sample.group == "unseen") == (pairs <= unseen)
        assert sample.split == "test" or sample.group != "unseen"
    assert Counter(sample.group for sample in made.split("test")) == {"seen": 2, "unseen": 2}


def test_a_fifth_of_the_training_rows_lacks_something(made):
    lacking = Counter()
    for line in made.path.read_text().splitlines():
        row = json.loads(line)
        gone = {"image", "video", "audio"} - row.keys()
        assert gone == {row["lacks"]} if "lacks" in row else not gone
        assert (row["group"] == "lacking") == bool(gone)
        lacking.update((row["split"], name) for name in gone)
    kinds = {("train", name): 2 for name in ("image", "video", "audio")}
    assert lacking == {**kinds, ("val", "image"): 1}


def test_shares_of_a_large_set():
    rows = [make._media(i, make.split_of(i, 1000)) for i in range(1000)]
    lacking = {s: Counter() for s in ("train", "val", "test")}
    for index, row in enumerate(rows):
        lacking[make.split_of(index, 1000)].update({"image", "video", "audio"} - row.keys())
        assert "audio" not in row or "video" in row or row["audio"].endswith(".wav")
    assert all(53 <= count <= 54 for count in lacking["train"].values())
    for split in ("val", "test"):
        assert sorted(lacking[split].values()) == [3, 3, 4]
    in_film = sum(row.get("audio", "").endswith(".mp4") for row in rows)
    assert abs(in_film / sum("audio" in row for row in rows) - 0.5) < 0.04


# the files


def frames_of(path):
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def read_audio(path):
    """Return the sound as numbers in [-1, 1] at 16 kHz."""
    if str(path).endswith(".wav"):
        with wave.open(str(path)) as file:
            assert file.getparams()[:4] == (1, 2, 16000, 48000)
            return np.frombuffer(file.readframes(48000), "<i2") / 32768
    with av.open(str(path)) as file:
        blocks = list(file.decode(audio=0))
    assert {(b.sample_rate, b.layout.name) for b in blocks} == {(16000, "mono")}
    return np.concatenate([block.to_ndarray()[0] for block in blocks])[:48000]


def test_files_match_the_rows(made):
    seen = Counter()
    for sample in made.samples:
        for path in sample.image:
            picture = Image.open(path)
            picture.load()
            assert (picture.format, picture.size) == ("JPEG", (SIZE, SIZE))
        if sample.audio and sample.audio.endswith(".wav"):
            assert len(read_audio(sample.audio)) == 48000
        if sample.video:
            frames = frames_of(sample.video)
            assert (len(frames), frames[0].shape) == (36, (SIZE, SIZE, 3))
            with av.open(sample.video) as file:
                (video,) = file.streams.video
                assert (video.codec_context.name, video.pix_fmt) == ("h264", "yuv420p")
                assert (video.average_rate, video.duration * video.time_base) == (12, 3)
                assert file.duration == 3_000_000
                codecs = [stream.codec_context.name for stream in file.streams.audio]
            assert codecs == (["aac"] if sample.audio == sample.video else [])
        seen[sample.audio and sample.audio[-3:]] += 1
    assert seen["wav"] > 14
    assert seen["mp4"] > 14
    files = {p for s in made.samples for p in (*s.image, s.video, s.audio) if p}
    assert len(files) == sum(len(os.listdir(p)) for p in made.path.parent.iterdir() if p.is_dir())


def thing_in(frame, color):
    """Return center and area, in pixels, of what has this color."""
    edge = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]])
    ground = np.median(edge, 0)
    way = np.array(_RGB[color]) - ground
    share = ((frame - ground) @ way / (way @ way) > 0.5).nonzero()
    return np.mean(share[1]), np.mean(share[0]), len(share[0])


def moved(before, after):
    """Return what a thing did from one frame to another, or what is seen instead."""
    dx, dy = after[0] - before[0], after[1] - before[1]
    growth = after[2] / before[2]
    if max(abs(dx), abs(dy)) < 1.5:
        return "grows" if growth > 1.6 else "shrinks" if growth < 0.6 else "stays"
    if min(abs(dx), abs(dy)) < 1.5 and max(abs(dx), abs(dy)) > 7 and 0.7 < growth < 1.4:
        if abs(dx) > abs(dy):
            return "left" if dx < 0 else "right"
        return "up" if dy < 0 else "down"
    return f"{before} to {after}"


def test_the_video_matches_the_caption(made):
    done = Counter()
    for sample in made.samples:
        claims = parse_caption(sample.captions[0])
        if sample.video:
            frames = frames_of(sample.video)
            at = {i: thing_in(frames[i], claims["pair"][0]) for i in (0, 15, 20, 35)}
            seen = (moved(at[0], at[15]), moved(at[20], at[35]))
            assert seen == claims["motions"], sample
            done.update(seen)
    assert len(done) == 7


def test_the_still_shows_the_thing_alone(made):
    shape = {}
    for sample in made.samples:
        for path in sample.image:
            pixels = np.asarray(Image.open(path))
            pair = parse_caption(sample.captions[0])["pair"]
            x, y, area = thing_in(pixels, pair[0])
            assert abs(x - 23.5) < 2.5, sample
            assert abs(y - 23.5) < 2.5, sample
            shape.setdefault(pair[1], []).append(area / SIZE**2)
    # whatever the thing does, it is of one size
    assert all(max(areas) < 1.2 * min(areas) for areas in shape.values())


def loud(heard):
    """Return where the sound is heard: its first and last second."""
    power = np.convolve(heard**2, np.ones(400) / 400, "same")
    (where,) = (power > 0.02 * power.max()).nonzero()
    return where[0] / 16000, where[-1] / 16000


def kind_of(heard):
    """Name the sound by its spectrum and its course, without knowing how it was made."""
    start, end = (round(16000 * second) for second in loud(heard))
    part = heard[start + 500 : end - 500]
    level = np.convolve(np.abs(part), np.ones(80) / 80, "same")
    if np.mean(level < 0.1 * level.max()) > 0.4:
        return "ticking clock"
    power = np.abs(np.fft.rfft(part)) ** 2 + 1e-9
    if np.exp(np.mean(np.log(power))) / np.mean(power) > 0.2:
        return "noise burst"
    quarters = np.array_split(part, 4)
    first, last = (highest(quarter) for quarter in (quarters[0], quarters[3]))
    if 500 < first < 950 and 1400 < last < 2000:
        return "rising whistle"
    if 500 < last < 950 and 1400 < first < 2000:
        return "falling whistle"
    return "low hum" if first < 200 else "high beep" if 1350 < first < 1650 else f"{first} hertz"


def highest(part):
    """Return the strongest frequency, in hertz."""
    return np.abs(np.fft.rfft(part * np.hanning(len(part)), 16000)).argmax()


def test_the_audio_matches_the_caption(made):
    kinds = set()
    for sample in made.samples:
        if sample.audio:
            heard, claims = read_audio(sample.audio), parse_caption(sample.captions[0])
            assert kind_of(heard) == claims["sound"], sample
            start, end = loud(heard)
            assert (end < 1.6) if claims["phase"] == 0 else (start > 1.4)
            assert 0.5 < end - start < 1.1
            kinds.add(claims["sound"])
    assert len(kinds) == 6


def test_the_sound_occurs_only_within_its_phase():
    for number, one in enumerate(events(60)):
        phase = ((0, one.turn / 12), (one.turn / 12, 3))[one.phase]
        assert phase[0] < one.sound.start < one.sound.end < phase[1]
        heard = soundtrack.samples(one.sound, number) / 32768
        start, end = loud(heard)
        # ticks leave the last tenth of a second silent
        assert abs(start - one.sound.start) < 0.04
        assert abs(end - one.sound.end) < 0.13
        assert kind_of(heard) == one.sound.kind
        inside = slice(round(16000 * one.sound.start), round(16000 * one.sound.end))
        assert 0.2 < np.abs(heard[inside]).max() < 0.65
        rest = np.delete(heard, inside)
        assert 0 < np.abs(rest).max() < 0.01


def test_a_thing_is_whole_in_every_frame():
    for one in events():
        for frame in range(36):
            thing = event.thing_at(one, frame)
            reach = 1.2 * thing.radius
            assert reach <= min(thing.x, thing.y) <= max(thing.x, thing.y) <= 1 - reach


# the folder


@pytest.fixture
def handed(monkeypatch):
    """The files of videos and sounds contain digests of what the encoders are given."""

    def take(path, *arrays):
        given = b"".join(b"" if a is None else a.tobytes() for a in arrays)
        path.write_text(hashlib.sha256(given).hexdigest())

    monkeypatch.setattr(make, "write_video", take)
    monkeypatch.setattr(make, "write_sound", take)


def test_no_question_needs_a_missing_modality(tmp_path, handed, monkeypatch):
    monkeypatch.setattr(make, "frames", lambda *args: np.zeros(1))
    rows = make_events(tmp_path / "set", num=150, size=32).read_text().splitlines()
    asked = defaultdict(set)
    for row in map(json.loads, rows):
        asked[row.get("lacks")].add(row["text"])
    assert all("sound" not in text for text in asked["audio"])
    assert all(" do " not in text and "move" not in text for text in asked["video"])
    assert min(len(texts) for texts in asked.values()) > 2


def test_the_same_seed_gives_the_same_words_pixels_and_samples(tmp_path, handed):
    runs = {}
    for name, seed, workers in [("a", 7, 1), ("b", 7, 3), ("c", 8, 1)]:
        path = make_events(tmp_path / name, num=12, size=32, seed=seed, workers=workers)
        files = {p.name: p.read_bytes() for p in path.parent.glob("*/*")}
        runs[name] = (path.read_bytes(), files)
    assert runs["a"] == runs["b"]
    assert runs["a"][0] != runs["c"][0]
    assert all(runs["a"][1][name] != runs["c"][1].get(name) for name in runs["a"][1])
    assert len(runs["a"][1]) > 24


def test_numbers_are_pinned():
    # a change here changes every user's data: count up _VERSION in make.py with it
    texts = [
        " ".join(
            [repr(one), *grammar.captions(one, Random("1")), *grammar.question(one, Random("2"))]
        )
        for one in events(50)
    ]
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
    assert (make._VERSION, digest) == (4, "7c298696f4c10844")


def test_a_complete_set_is_used_again_and_another_replaced(tmp_path, handed):
    folder = tmp_path / "set"
    path = make_events(folder, num=12, size=32)
    before = os.stat(path)
    assert make_events(folder, num=12, size=32) == path
    assert os.stat(path).st_mtime_ns == before.st_mtime_ns
    for file in ("images/00003.jpg", "videos/00003.mp4", "sounds/00001.wav"):
        os.remove(folder / file)
        make_events(folder, num=12, size=32)
        assert (folder / file).is_file()
    make_events(folder, num=20, size=32)
    assert len(read_manifest(path).samples) == 20
    make_events(folder, num=20, size=34)
    assert Image.open(folder / "images" / "00000.jpg").size == (34, 34)
    assert os.listdir(tmp_path) == ["set"]


def test_other_peoples_files_are_never_replaced(tmp_path):
    (tmp_path / "sounds").mkdir()
    with raises(ConfigError, f"out={tmp_path}: ", "(sounds)"):
        make_events(tmp_path, num=12)
    (tmp_path / "thesis.tex").write_text("years of work")
    with raises(ConfigError, f"out={tmp_path}: ", "thesis.tex"):
        make_events(tmp_path, num=12)
    make_scenes(tmp_path / "scenes", num=10, size=32)
    with raises(ConfigError, f"out={tmp_path / 'scenes'}: ", "scenes.jsonl"):
        make_events(tmp_path / "scenes", num=12)
    assert len(os.listdir(tmp_path / "scenes" / "images")) == 10


@pytest.mark.parametrize(
    ("numbers", "parts"),
    [({"size": 33}, ["size=33", "H.264", "even"]), ({"num": 9}, ["num=9"])],
)
def test_numbers_that_cannot_be(tmp_path, numbers, parts):
    with raises(ConfigError, *parts):
        make_events(tmp_path / "x", **numbers)
    assert not (tmp_path / "x").exists()


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(make, "write_video", fail)
    with pytest.raises(OSError, match="disk full"):
        make_events(tmp_path / "set", num=12, size=32)
    assert os.listdir(tmp_path) == []


def test_a_pyav_without_the_encoder_is_reported(tmp_path, monkeypatch):
    def unknown(*args, **kwargs):
        raise av.codec.codec.UnknownCodecError("libx264")

    class File:
        add_stream = staticmethod(unknown)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(av, "open", lambda *args, **kwargs: File())
    with raises(ConfigError, "H.264", "PyAV"):
        make_events(tmp_path / "set", num=12, size=32)


def test_the_command_makes_them(tmp_path, capsys, handed):
    run_action("create", dataset="events", out=str(tmp_path / "e"), num=10, size=32)
    path = capsys.readouterr().out.splitlines()[-1]
    assert path == str(tmp_path / "e" / "events.jsonl")
    assert len(read_manifest(path).samples) == 10


def test_frames_differ_only_where_the_thing_is():
    one = next(e for e in events() if e.motions == ("left", "right"))
    drawn = film.frames(one, SIZE, 1)
    assert drawn.shape == (36, SIZE, SIZE, 3)
    still = (drawn == drawn[0]).all((0, 3))
    assert 0.4 < still.mean() < 0.95
