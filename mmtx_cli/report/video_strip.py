"""Show a few frames of a video as one image."""

from pathlib import Path

from PIL import Image

SIDE, COUNT = 160, 4


class FilmStrips:
    """Creates strips of frames in one subprocess for all videos, which can be killed."""

    def __init__(self, timeout: float = 30.0) -> None:
        """Initialize it; ``timeout`` is the maximum time for one video, in seconds."""
        # imported here: most reports show only images and need no video decoder
        from mmtx_cli.media.backend import load_decoders
        from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder

        self.guard = IsolatedDecoder(timeout, load_decoders)

    def __call__(
        self, path: Path, start: float | None = None, end: float | None = None
    ) -> Image.Image:
        """Return four frames, spread over the part shown, as a 2 x 2 grid in reading order.

        A video with fewer frames gives its first frame.

        Raises:
            UnreadableError: if it is not a video, or decoding takes too long.
        """
        from mmtx_cli.media.video.decode import decode_video
        from mmtx_cli.media.video.frame_sampling import Sampling

        options = Sampling(COUNT), SIDE, "crop", start, end
        clip = self.guard.run(decode_video, str(path), *options)
        frames = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in clip.frames]
        if len(frames) < COUNT:
            return frames[0]
        strip = Image.new("RGB", (2 * SIDE, 2 * SIDE))
        for i, frame in enumerate(frames):
            strip.paste(frame, (SIDE * (i % 2), SIDE * (i // 2)))
        return strip

    def close(self) -> None:
        """Stop the subprocess."""
        self.guard.close()
