"""A few frames of a video as one picture."""

from pathlib import Path

from PIL import Image

SIDE, COUNT = 160, 4


class FilmStrips:
    """Makes them in a process that can be ended, which serves all films of a report."""

    def __init__(self, timeout: float = 30.0) -> None:
        """``timeout`` is the patience with one film, in seconds."""
        # imported here: most reports show pictures alone, and need no decoder of videos
        from mmtx_cli.media.backend import load_decoders
        from mmtx_cli.media.worker.isolated_decoder import Guard

        self.guard = Guard(timeout, load_decoders)

    def __call__(
        self, path: Path, start: float | None = None, end: float | None = None
    ) -> Image.Image:
        """Four frames, spread over the part shown, two by two in order of reading.

        Raises UnreadableError for what is no video, and where decoding takes too long.
        """
        from mmtx_cli.media.video.decode import decode_video
        from mmtx_cli.media.video.frame_sampling import Sampling

        wish = Sampling(COUNT), SIDE, "crop", start, end
        clip = self.guard.run(decode_video, str(path), *wish)
        frames = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in clip.frames]
        if len(frames) < COUNT:
            return frames[0]
        strip = Image.new("RGB", (2 * SIDE, 2 * SIDE))
        for i, frame in enumerate(frames):
            strip.paste(frame, (SIDE * (i % 2), SIDE * (i // 2)))
        return strip

    def close(self) -> None:
        """End the process."""
        self.guard.close()
