"""A few frames of a video as one picture."""

from pathlib import Path

from PIL import Image

SIDE, COUNT = 160, 4


def film_strip(path: Path) -> Image.Image:
    """Four frames, spread over the video, two by two in order of reading.

    Raises UnreadableError for what is no video, and where decoding takes too long.
    """
    # imported here: most reports show pictures alone, and need no decoder of videos
    from mmtx_cli.data.decode.guard import Guard
    from mmtx_cli.data.decode.moments import Sampling
    from mmtx_cli.data.decode.video import decode_video

    guard = Guard(timeout=30)
    try:
        clip = guard.run(decode_video, str(path), Sampling(COUNT), SIDE, "crop")
    finally:
        guard.close()
    frames = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in clip.frames]
    if len(frames) < COUNT:
        return frames[0]
    strip = Image.new("RGB", (2 * SIDE, 2 * SIDE))
    for i, frame in enumerate(frames):
        strip.paste(frame, (SIDE * (i % 2), SIDE * (i // 2)))
    return strip
