"""A trivial baseline for each task of the encoder laboratory, which reads the decoded media.

``python tests/encoder/lab_baseline.py [TASK ...]`` makes 500 rows of every task and prints the
accuracies; for videos, also what the first, the middle or the last frame alone gives.
"""

import json
import re
import sys
import tempfile
import wave
from pathlib import Path

import av
import numpy as np
from PIL import Image

from mmtx_cli.synthetic.encoder_lab import make_encoder_lab
from mmtx_cli.synthetic.encoder_lab.make import TASKS
from mmtx_cli.synthetic.encoder_lab.text import NUMBERS, TARGET
from mmtx_cli.synthetic.scenes.render import _RGB, cut_out
from mmtx_cli.synthetic.scenes.scene import COLORS, SHAPES, Thing

THRESHOLD = 36  # of 255 levels: what differs more from the background belongs to a thing
RATE, WINDOW = 16000, 320  # hertz, samples


# image: uint8 [h, w, 3]


def foreground(picture):
    """The pixels that differ from the background, a plane fitted to each channel: bool [h, w]."""
    h, w, _ = picture.shape
    y, x = np.mgrid[:h, :w]
    plane = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3).astype(float)
    pixels = picture.reshape(-1, 3).astype(float)
    keep = np.abs(pixels - np.median(pixels, 0)).max(1) < 2 * THRESHOLD
    background = plane @ np.linalg.lstsq(plane[keep], pixels[keep], rcond=None)[0]
    return (np.abs(pixels - background).max(1) > THRESHOLD).reshape(h, w)


def centroid(mask):
    """The center of a mask (x, y), as fractions of the sides."""
    y, x = np.nonzero(mask)
    return np.array([x.mean() + 0.5, y.mean() + 0.5]) / mask.shape[::-1]


def crop(mask):
    """The part of a mask within its bounding box."""
    y, x = np.nonzero(mask)
    return mask[y.min() : y.max() + 1, x.min() : x.max() + 1]


def image_color(picture):
    pixels = picture[foreground(picture)].astype(float)
    palette = np.array([_RGB[color] for color in COLORS])
    nearest = np.abs(pixels[:, None] - palette).sum(-1).argmin(1)
    return COLORS[np.bincount(nearest).argmax()]


def image_shape(picture):
    def outline(mask):
        return np.asarray(Image.fromarray(crop(mask)).convert("L").resize((16, 16)), float)

    def distance(shape, degrees):
        thing = Thing("black", shape, "large", 0.5, 0.5, 0.3, np.radians(degrees))
        template = np.asarray(cut_out((thing,), picture.shape[0]))[..., 3] > 100
        return np.abs(outline(template) - outline(foreground(picture))).sum()

    return min((distance(shape, angle), shape) for shape in SHAPES for angle in (-8, 0, 8))[1]


def image_position(picture):
    column, row = (3 * centroid(foreground(picture))).astype(int)
    return TASKS["image_position"].label_names[3 * row + column]


def image_size(picture):
    side = max(crop(foreground(picture)).shape) / len(picture)
    return "small" if side < 0.28 else "medium" if side < 0.48 else "large"


def image_count(picture):
    mask = np.pad(foreground(picture), 1)
    component = np.arange(mask.size).reshape(mask.shape) * mask
    for _ in range(2 * len(mask)):  # the highest number spreads over each component
        near = [np.roll(component, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        component = np.max(near, 0) * mask
    return ("one", "two", "three", "four")[min(len(np.unique(component)) - 2, 3)]


def image_relation(picture):
    red, _, blue = picture[..., :3].astype(int).transpose(2, 0, 1)
    dx, dy = centroid(red > blue + 80) - centroid(blue > red + 80)
    if abs(dx) > abs(dy):
        return "left" if dx < 0 else "right"
    return "above" if dy < 0 else "below"


def image_orientation(picture):
    y, x = np.nonzero(foreground(picture))
    (xx, xy), (_, yy) = np.cov(x, -y)
    degrees = np.degrees(np.arctan2(2 * xy, xx - yy)) / 2
    return f"{round(degrees / 45) % 4 * 45} degrees"


# video: uint8 [t, h, w, 3]


def moved(frames, first, last):
    """The displacement (x, y, y upwards) from one frame to another."""
    return (centroid(foreground(frames[last])) - centroid(foreground(frames[first]))) * (1, -1)


def heading(step, names):
    angle = np.arctan2(step[1], step[0])
    return names[round(angle / (2 * np.pi / len(names))) % len(names)]


def video_first_movement(frames):
    return heading(moved(frames, 0, 9), ("right", "up", "left", "down"))


def video_second_movement(frames):
    return heading(moved(frames, 14, 23), ("right", "up", "left", "down"))


def video_order(frames):
    first, second = (np.hypot(*moved(frames, *ends)) for ends in ((0, 9), (14, 23)))
    return "moves" if first > second else "changes size"


def video_speed(frames):
    distance = np.hypot(*moved(frames, 0, 23))
    return "slow" if distance < 0.3 else "medium" if distance < 0.5 else "fast"


def video_direction(frames):
    return heading(moved(frames, 0, 23), TASKS["video_direction"].label_names)


def video_moving(frames):
    return "moving" if np.hypot(*moved(frames, 0, 23)) > 0.1 else "still"


def video_cut(frames):
    change = np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))
    return "cut" if change.max() > 3 * np.median(change) + 1 else "no cut"


# audio: floats [n]


def windows(samples):
    """The energy and the dominant frequency (hertz) of windows of 20 ms."""
    cut = samples[: len(samples) // WINDOW * WINDOW].reshape(-1, WINDOW)
    spectrum = np.abs(np.fft.rfft(cut * np.hanning(WINDOW), 4 * WINDOW))
    return (cut**2).mean(1), spectrum.argmax(1) * RATE / (4 * WINDOW)


def pitches(samples):
    """The dominant frequencies of the loud windows, in order of time."""
    energy, frequency = windows(samples)
    return frequency[energy > energy.max() / 4]


def audio_pitch(samples):
    pitch = np.median(pitches(samples))
    return "low" if pitch < 420 else "middle" if pitch < 1150 else "high"


def audio_contour(samples):
    frequencies = pitches(samples)
    return "rising" if frequencies[-5:].mean() > frequencies[:5].mean() else "falling"


def audio_rhythm(samples):
    energy, _ = windows(samples)
    loud = np.concatenate([[False], energy > energy.max() / 4])
    return ("two", "three", "four", "five")[np.sum(loud[1:] & ~loud[:-1]) - 2]


def audio_onset(samples):
    thirds = [(part**2).sum() for part in np.array_split(samples, 3)]
    return TASKS["audio_onset"].label_names[np.argmax(thirds)]


def audio_order(samples):
    frequencies = pitches(samples)
    return "low first" if frequencies[0] < frequencies[-1] else "high first"


# text: str


def text_word_order(text):
    animals = re.findall("|".join(TASKS["text_word_order"].label_names), text)
    return animals[1] if " by the" in text else animals[0]


def text_negation(text):
    word = text.split()[-2]
    return "no" if f"not {word}" in text else "yes"


def text_count(text):
    return TASKS["text_count"].label_names[text.split().count(TARGET)]


def text_agreement(text):
    words = text.split()
    return "correct" if words[-2] in NUMBERS[words[1].endswith("s")] else "wrong"


BASELINES = {name: globals()[name] for name in TASKS}


def read(path, modality):
    """Decode a media file to an array."""
    match modality:
        case "image":
            return np.asarray(Image.open(path).convert("RGB"))
        case "video":
            with av.open(str(path)) as file:
                return np.stack([f.to_ndarray(format="rgb24") for f in file.decode(video=0)])
        case "audio":
            with wave.open(str(path)) as file:
                return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def examples(path, modality):
    """Yield the decoded content and the label of each row of a manifest."""
    for line in path.read_text().splitlines():
        row = json.loads(line)
        content = row[modality]
        yield content if modality == "text" else read(path.parent / content, modality), row["label"]


def accuracy(path, name):
    """The share of a manifest's rows that the task's baseline answers correctly."""
    return np.mean(
        [BASELINES[name](media) == label for media, label in examples(path, TASKS[name].modality)]
    )


def single_frame_accuracy(path, name):
    """The accuracy of 25 nearest neighbors in place and area of the foreground of one frame.

    Returns the highest of the first, the middle and the last frame; a row is no neighbor of its
    own.
    """
    videos, labels = zip(*examples(path, "video"), strict=True)
    y = np.array([TASKS[name].label_names.index(label) for label in labels])
    accuracies = []
    for frame in (0, 12, 23):
        masks = [foreground(frames[frame]) for frames in videos]
        x = np.array([[*centroid(mask), 2 * mask.mean()] for mask in masks])
        order = np.square(x[:, None] - x).sum(-1).argsort(1)[:, 1:26]
        accuracies.append(np.mean([np.bincount(y[near]).argmax() for near in order] == y))
    return max(accuracies)


def main():
    for name in sys.argv[1:] or TASKS:
        with tempfile.TemporaryDirectory() as folder:
            path = make_encoder_lab(Path(folder) / name, num=500, size=32, task=name)
            chance = 1 / len(TASKS[name].label_names)
            line = f"{name:24}chance {chance:.3f}  baseline {accuracy(path, name):.3f}"
            if TASKS[name].modality == "video":
                line += f"  one frame {single_frame_accuracy(path, name):.3f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
