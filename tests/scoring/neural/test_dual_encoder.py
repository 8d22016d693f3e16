import pytest

from mmtx_cli.scoring.neural.dual_encoder import File, file_of

FILM = {"video": "a.mp4", "audio": "a.mp4"}


@pytest.mark.parametrize(
    ("media", "streams", "modality", "expected"),
    [
        ({"image": "a.png"}, ["image"], None, ("image", "image", "a.png")),
        ({"image": "a.png"}, ["audio", "video"], None, ("image", "video", "a.png")),
        (FILM, ["image", "audio"], None, ("video", "image", "a.mp4")),
        (FILM, ["audio"], None, ("video", "audio", "a.mp4")),
        (FILM, ["image", "audio"], "audio", ("audio", "audio", "a.mp4")),
        ({"image": "a.png", "audio": "a.wav"}, ["audio"], None, ("audio", "audio", "a.wav")),
        ({"audio": "a.wav"}, ["image", "video"], None, None),
        ({"image": "a.png"}, ["image", "audio"], "audio", None),
        ({}, ["image"], None, None),
    ],
)
def test_the_file_that_is_compared(media, streams, modality, expected):
    found = file_of(media, streams, modality)
    assert found == (None if expected is None else File(*expected))


@pytest.mark.parametrize(
    ("media", "times"),
    [
        (FILM, (1.0, 2.5)),
        ({"audio": "a.wav"}, (1.0, 2.5)),
        ({"audio": "a.mp4", "video": "a.mp4"}, (1.0, 2.5)),
        ({"audio": "a.wav", "video": "a.mp4"}, (None, None)),  # the times are those of the film
        ({"image": "a.png"}, (None, None)),
    ],
)
def test_the_part_of_a_film_or_sound(media, times):
    modality = None if "audio" not in media else "audio"
    file = file_of(media, ["image", "audio"], modality, (1.0, 2.5))
    assert (file.start, file.end) == times
