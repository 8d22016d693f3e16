"""Files outside of a manifest as samples."""

from collections.abc import Sequence

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data.dataset import Example, ManifestDataset
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.pieces import Piece, read_file
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.media.worker.limits import DecodeLimits


class InputFiles(ManifestDataset):
    """Dataset of files and pieces of files, each passed to an encoder that can read it."""

    def __init__(
        self,
        pieces: Sequence[Piece],
        names: Sequence[str],
        modalities: Sequence[str],
        preparation: Preprocessing,
        tokenizer: Tokenizer | None,
        limits: DecodeLimits,
        text: str | None = None,
        text_tokenizer: Tokenizer | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            pieces: The files, or pieces of them.
            names: Ids of the samples.
            modalities: Input modalities of the model.
            preparation: Preprocessing settings.
            tokenizer: Tokenizer of the model.
            limits: Decoding limits for each file.
            text: Input text for the text encoder, the same for every piece.
            text_tokenizer: The text encoder's own tokenizer, if it has one.
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
        # modalities that are read as precomputed features cannot be computed here
        self.from_files = [name for name in modalities if name not in preparation.features]

    def read(self, example: Example, turn: int, row: int) -> None:
        """Decode the modalities that the model can read."""
        path, sample = self.pieces[row].path, self.samples[row]
        example.inputs |= read_file(self.media, path, sample, self.from_files)
        if (tokens := self.text("text", 0, row)) is not None:
            example.inputs["text"] = tokens
        self.read_prompt(example, row)
