"""Files outside of a manifest as samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data.dataset import Example, ManifestDataset
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.pieces import Piece, first_of, read_file
from mmtx_cli.data.sample_reader import Media
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.transform import to_tensor
from mmtx_cli.media.worker.limits import DecodeLimits


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in memory, of 8-bit RGB; ``name`` is only for messages."""

    pixels: UInt8[np.ndarray, "h w 3"]
    name: str
    start: None = None
    end: None = None

    @property
    def identity(self) -> str:
        """The name, which seeds random numbers."""
        return f"{self.name} {self.start}"


class InputFiles(ManifestDataset):
    """Dataset of files and pieces of files, each passed to an encoder that can read it."""

    def __init__(
        self,
        pieces: Sequence[Piece | Picture],
        names: Sequence[str],
        modalities: Sequence[str],
        preparation: Preprocessing,
        tokenizer: Tokenizer | None,
        limits: DecodeLimits,
        text: str | None = None,
        text_tokenizer: Tokenizer | None = None,
        media: Media | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            pieces: The files, or pieces of them, or pictures in memory.
            names: Ids of the samples.
            modalities: Input modalities of the model.
            preparation: Preprocessing settings.
            tokenizer: Tokenizer of the model.
            limits: Decoding limits for each file.
            text: Input text for the text encoder, the same for every piece.
            text_tokenizer: The text encoder's own tokenizer, if it has one.
            media: Decodes the files (default: a decoder of its own with these limits).
        """
        samples = [
            Sample(id=name, split="test", start=piece.start, end=piece.end, text=text)
            for name, piece in zip(names, pieces, strict=True)
        ]
        super().__init__(
            samples,
            modalities,
            (),
            preparation,
            tokenizer,
            text_tokenizer=text_tokenizer,
            limits=limits,
        )
        self.pieces = pieces
        self.media = media or self.media
        # modalities that are read as precomputed features cannot be computed here
        self.from_files = [name for name in modalities if name not in preparation.features]

    def read(self, example: Example, turn: int, row: int) -> None:
        """Decode the modalities that the model can read."""
        piece, sample = self.pieces[row], self.samples[row]
        if isinstance(piece, Picture):
            example.inputs |= self.picture(piece)
        else:
            example.inputs |= read_file(self.media, piece.path, sample, self.from_files)
        if (tokens := self.text("text", 0, row)) is not None:
            example.inputs["text"] = tokens
        self.read_prompt(example, row)

    def picture(self, picture: Picture) -> dict[str, Tensor]:
        """Return what the model reads of a picture in memory, by modality."""
        fitted = self.media.fitted([to_tensor(picture.pixels)])
        if not (names := first_of(self.from_files, "image", "video")):
            accepted = ", ".join(self.from_files) or "features only"
            raise UnreadableError(
                picture.name, f"contains no modality that the model accepts ({accepted})"
            )
        return dict.fromkeys(names, fitted)
