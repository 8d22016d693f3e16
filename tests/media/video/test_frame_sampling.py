import itertools
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.media.video.frame_sampling import Sampling, frame_times
from tests.messages import raises

starts = st.floats(-1e3, 1e5)
lengths = st.one_of(st.just(0.0), st.floats(1e-6, 1e5))
offsets = st.one_of(st.none(), st.floats(0, 1, exclude_max=True))
rates = st.floats(0.01, 240)
samplings = st.one_of(
    st.builds(Sampling, st.integers(1, 64)),
    st.builds(Sampling, st.integers(1, 64), st.sampled_from(["fps", "dense"]), rates),
)


@given(starts, lengths, samplings, offsets)
def test_ascending_within_the_window_and_never_too_many(start, length, sampling, offset):
    end = start + length
    times = frame_times(start, end, sampling, offset)
    assert 1 <= len(times) <= sampling.num_frames
    assert times == sorted(times)
    assert all(start <= time < end or start == time == end for time in times)
    assert times == frame_times(start, end, sampling, offset)


@given(st.floats(0, 100), st.floats(0.1, 100), st.integers(1, 20), offsets)
def test_uniform_takes_one_from_each_part(start, length, count, offset):
    times = frame_times(start, start + length, Sampling(count), offset)
    place = 0.5 if offset is None else offset
    assert len(times) == count
    for part, time in enumerate(times):
        assert time == pytest.approx(start + (part + place) * length / count, abs=1e-6)


@given(st.floats(1, 100), rates, st.sampled_from(["fps", "dense"]), offsets)
def test_a_rate_is_kept(length, fps, how, offset):
    times = frame_times(0.0, length, Sampling(10, how, fps), offset)
    assert len(times) == max(1, min(10, math.floor(length * fps + 1e-6)))
    for before, after in itertools.pairwise(times):
        assert after - before == pytest.approx(1 / fps, abs=1e-6)


def test_evaluation_is_in_the_middle():
    assert frame_times(0, 10, Sampling(4, "fps", 2.0), None) == [4.25, 4.75, 5.25, 5.75]
    assert frame_times(2, 4, Sampling(2), None) == [2.5, 3.5]
    assert frame_times(0, 10, Sampling(2, "dense", 10.0), None) == pytest.approx([4.95, 5.05])


def test_training_starts_anywhere():
    wish = Sampling(4, "fps", 2.0)
    first = [frame_times(0, 10, wish, offset)[0] for offset in (0.0, 0.25, 0.5, 0.999)]
    assert first == pytest.approx([0.25, 2.25, 4.25, 8.242])
    assert frame_times(0, 8, Sampling(2), 0.0) == [0.0, 4.0]
    assert frame_times(0, 8, Sampling(2), 0.75) == [3.0, 7.0]


@given(
    st.integers(1, 300), st.integers(1, 40), st.sampled_from([24.0, 25.0, 30000 / 1001]), offsets
)
def test_dense_frames_are_consecutive(frames, count, fps, offset):
    """Every moment falls well within another frame of a video that begins at 0."""
    times = frame_times(0.0, frames / fps, Sampling(count, "dense", fps), offset)
    numbers = [math.floor(time * fps + 0.25) for time in times]
    assert numbers == list(range(numbers[0], numbers[0] + min(count, frames)))
    assert numbers[0] >= 0
    assert numbers[-1] < frames
    if offset is None:
        assert abs(numbers[0] - (frames - 1 - numbers[-1])) <= 1


def test_a_window_that_is_too_short():
    assert frame_times(5, 5.1, Sampling(8, "fps", 2.0), None) == pytest.approx([5.05])
    assert frame_times(5, 6.2, Sampling(8, "dense", 2.0), None) == pytest.approx([5.25, 5.75])
    assert frame_times(3, 3, Sampling(8), 0.5) == [3]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sampling(how="sparse"), ["'sparse'", "uniform, fps, dense"]),
        (lambda: Sampling(0), ["num_frames", " 1", " 0"]),
        (lambda: Sampling(how="fps"), ["fps", "frames"]),
        (lambda: Sampling(how="fps", fps=0.0), ["fps", " 0"]),
        (lambda: Sampling(how="dense", fps=math.nan), ["fps", " nan"]),
        (lambda: frame_times(2, 1, Sampling(), None), [" 2 s ", " 1 s"]),
        (lambda: frame_times(0, math.inf, Sampling(), None), [" 0 s ", " inf s"]),
        (lambda: frame_times(0, 1, Sampling(), 1.0), ["offset", " 1.0"]),
        (lambda: frame_times(0, 1, Sampling(how="dense"), None), ["dense", "frame rate"]),
    ],
)
def test_nonsense_is_refused(make, words):
    with raises(ValueError, *words):
        make()


def test_importing_loads_no_decoder():
    code = (
        "import sys, mmtx_cli.media.video.decode, mmtx_cli.media.backend\n"
        "print({'av', 'torchcodec', 'torchvision'} & set(sys.modules))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
