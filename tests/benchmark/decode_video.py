"""Clips: 8 frames, 224 x 224, of 10 s, 640 x 360, 30 frames a second, H.264.

A key frame every 250 frames, as x264 makes it by default. One process, one thread.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from paired import paired_ratio, report

NUM_FRAMES, SIZE = 8, 224


def make_video(path: Path, seconds: int = 10, fps: int = 30, width: int = 640, height: int = 360):
    """A textured picture that drifts, and a square that circles over it."""
    import av

    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (height // 8 + 30, width // 8 + 60, 3), dtype=np.uint8)
    scene = coarse.repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = 250
        for i in range(seconds * fps):
            top, left = (2 * i) % 200, (5 * i) % 400
            pixels = scene[top : top + height, left : left + width].copy()
            y = int(height * (0.5 + 0.3 * np.cos(i / 15)))
            x = int(width * (0.5 + 0.3 * np.sin(i / 20)))
            pixels[y - 30 : y + 30, x - 30 : x + 30] = (255, i % 256, 0)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())


def uniform(count: int) -> list[int]:
    """The frames that mmtx takes: the middle of each of 8 equal parts."""
    return [int((part + 0.5) * count / NUM_FRAMES) for part in range(NUM_FRAMES)]


def by_torchcodec(path: Path) -> torch.Tensor:
    """Decode with torchcodec as its documentation shows it."""
    from torchcodec.decoders import VideoDecoder
    from torchvision.transforms import v2

    decoder = VideoDecoder(path)
    frames = decoder.get_frames_at(indices=uniform(len(decoder))).data
    return v2.Resize((SIZE, SIZE))(frames)


def by_pyav(path: Path) -> torch.Tensor:
    """Decode every frame with PyAV, then choose."""
    import av
    from torchvision.transforms import v2

    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    chosen = np.stack([frames[i] for i in uniform(len(frames))])
    return v2.Resize((SIZE, SIZE))(torch.from_numpy(chosen).permute(0, 3, 1, 2))


def by_mmtx(path: Path, backend: str) -> torch.Tensor:
    """Load a clip; with ``backend`` forced."""
    from mmtx_cli.media.video.decode import decode_video
    from mmtx_cli.media.video.frame_sampling import Sampling

    os.environ["MMTX_DECODER"] = backend
    return decode_video(path, Sampling(NUM_FRAMES), SIZE, "squash").frames


def video(folder: Path, rounds: int) -> None:
    """Clips by either decoder; ratios of times, above 1 where mmtx is faster."""
    path = folder / "moving.mp4"
    make_video(path)
    sides = {
        "torchcodec, plainly": lambda: by_torchcodec(path),
        "PyAV, every frame": lambda: by_pyav(path),
        "mmtx by torchcodec": lambda: by_mmtx(path, "torchcodec"),
        "mmtx by PyAV": lambda: by_mmtx(path, "pyav"),
    }
    wanted = sides["torchcodec, plainly"]().float()
    for name, side in sides.items():
        difference = (side().float() - wanted).abs().mean()
        print(f"{name}: differs from torchcodec by {difference:.2f} gray levels in the mean")
    for theirs, ours in (
        ("torchcodec, plainly", "mmtx by torchcodec"),
        ("torchcodec, plainly", "mmtx by PyAV"),
        ("PyAV, every frame", "mmtx by PyAV"),
    ):
        ratio = paired_ratio(discarding(sides[theirs]), discarding(sides[ours]), rounds)
        report(f"video: {theirs} / {ours}", *ratio)


def discarding(side: Callable[[], object]) -> Callable[[], None]:
    """What it brings is no time."""

    def run() -> None:
        side()

    return run
