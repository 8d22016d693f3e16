"""The events data set: rendered videos with audio, captions and questions."""

from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from mmtx_cli.errors import ConfigError
from mmtx_cli.synthetic.dataset_writer import BuiltIn, check_numbers, split_of
from mmtx_cli.synthetic.events.encode import write_video
from mmtx_cli.synthetic.events.event import MOTIONS, sample_event
from mmtx_cli.synthetic.events.frames import frames, still_image
from mmtx_cli.synthetic.events.grammar import captions, question
from mmtx_cli.synthetic.events.soundtrack import samples, write_sound
from mmtx_cli.synthetic.scenes.make import unseen_pairs
from mmtx_cli.synthetic.scenes.scene import PAIRS

# increases when the same arguments would give other videos, sounds or words
_VERSION = 4
_MODALITIES = ("image", "video", "audio")
_LACKS_IN_TRAINING = dict(zip((2, 7, 12), _MODALITIES, strict=True))  # of 15 rows


def make_events(
    folder: str | Path,
    num: int = 2000,
    size: int = 96,
    seed: int = 0,
    workers: int | None = None,
) -> Path:
    """Make ``num`` events in ``folder`` and return the manifest's path.

    Every row has an image, a video, audio and a question; the label is the motion during the
    sound. The audio is a WAV file next to a silent video, or, in every second pair of rows, the
    video's own track. A fifth of the training rows and a tenth of the others lack the image, video
    or audio (``lacks`` is the modality, and ``group`` is "lacking"); without video or audio, the
    texts do not mention it and there is no label. The splits, and the pairs of color and shape
    that occur only in the test split, are those of the scenes.

    Args:
        folder: Where the manifest, its card and the media files are written.
        num: Number of rows, 80/10/10 by split.
        size: Side of images and frames in pixels; even.
        seed: Seed of everything that is random.
        workers: Number of processes; by default, the number of cores, or one for few rows.

    Raises:
        ConfigError: if the numbers are too small, the size is odd, or the folder contains other
            files.
    """
    check_numbers(num, size, seed)
    if size % 2:
        raise ConfigError(f"size={size}: H.264 requires an even size, e.g. size={size + 1}")
    made_with = {"version": _VERSION, "num": num, "size": size, "seed": seed}
    events = BuiltIn("events", made_with, _num_files(num))
    make_row = partial(_make_row, num=num, size=size, seed=seed)
    return events.make(Path(folder), make_row, _card(seed), workers)


def _lacks(index: int, split: str) -> str | None:
    """Return the modality that a row lacks, evenly distributed; none in rows of unseen pairs."""
    if split == "train":
        return _LACKS_IN_TRAINING.get(index % 15)
    return _MODALITIES[index // 10 % 3] if index % 10 == 4 else None


def _media(index: int, split: str) -> dict[str, str]:
    """Return a row's media columns; video and audio share a file in every second pair of rows."""
    lacks = _lacks(index, split)
    image, video, sound = (
        f"images/{index:05d}.jpg",
        f"videos/{index:05d}.mp4",
        f"sounds/{index:05d}.wav",
    )
    in_video = index // 2 % 2 == 1 and lacks != "video"
    media = {"image": image, "video": video, "audio": video if in_video else sound}
    return {name: path for name, path in media.items() if name != lacks}


def _num_files(num: int) -> dict[str, int]:
    files = {path for index in range(num) for path in _media(index, split_of(index, num)).values()}
    folders = [path.split("/")[0] for path in files]
    return {folder: folders.count(folder) for folder in ("images", "videos", "sounds")}


def _make_row(folder: Path, index: int, num: int, size: int, seed: int) -> dict[str, Any]:
    """Write the files of one event and return its row, a pure function of the arguments."""
    random = Random(f"event {seed} {index}")
    split, unseen = split_of(index, num), unseen_pairs(seed)
    is_unseen = split == "test" and index % 2 == 1
    pairs = unseen if is_unseen else [pair for pair in PAIRS if pair not in unseen]
    event = sample_event(random, pairs)
    still_seed, video_seed, sound_seed = (random.randrange(2**32) for _ in range(3))
    lacks, media = _lacks(index, split), _media(index, split)
    if "image" in media:
        picture = still_image(event, size, still_seed)
        picture.save(folder / media["image"], "JPEG", quality=92, subsampling=0)
    audio = samples(event.sound, sound_seed)
    if "video" in media:
        track = audio if media.get("audio") == media["video"] else None
        write_video(folder / media["video"], frames(event, size, video_seed), track)
    if "audio" in media and media["audio"] != media.get("video"):
        write_sound(folder / media["audio"], audio)
    question_text, answer = question(event, random, lacks)
    return {
        "id": f"event{index:05d}",
        "split": split,
        **media,
        "text": question_text,
        "captions": captions(event, random, lacks),
        "label": event.label if lacks in (None, "image") else None,
        "answers": {answer: 10},
        "group": "lacking" if lacks else "unseen" if is_unseen else "seen",
        "lacks": lacks,
    }


def _card(seed: int) -> dict[str, Any]:
    return {
        "description": (
            "Three-second videos in which a colored shape performs two actions in turn and a sound "
            "is played once; the shape alone as an image, the sound as a WAV file or in the video, "
            "five captions, a question with its answer, and as label the action during the sound. "
            "Rows of the group lacking have no image, no video or no audio. Test rows of the group "
            "unseen show a combination of color and shape that does not occur in training."
        ),
        "source": "made by `mmtx data action=create dataset=events`",
        "license": "CC0-1.0",
        "root": ".",
        "label_names": list(MOTIONS),
        "unseen_pairs": [" ".join(pair) for pair in unseen_pairs(seed)],
    }
