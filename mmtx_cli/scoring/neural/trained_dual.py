"""A dual encoder that was trained with mmtx, for CLIPScore."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float

from mmtx_cli.api.load import load
from mmtx_cli.data.pieces import Piece
from mmtx_cli.decoder.language_model import weights_hash
from mmtx_cli.distributed.process import Process
from mmtx_cli.errors import ConfigError, MmtxError
from mmtx_cli.inference.head_predictions import predicted
from mmtx_cli.scoring.neural.dual_encoder import DualEncoder, File, Unread


class TrainedDualEncoder(DualEncoder):
    """A run folder, checkpoint or model folder of mmtx with a contrastive head."""

    def __init__(
        self,
        ckpt: str,
        device: str,
        batch_size: int,
        num_frames: int | None = None,
        trusted_packages: Sequence[str] = (),
    ) -> None:
        """Load the model.

        Args:
            ckpt: The model.
            device: As for ``mmtx_cli.load``.
            batch_size: Inputs per batch.
            num_frames: Frames of a video; None: as in training.
            trusted_packages: Packages that the model's components may come from.

        Raises:
            CheckpointError: if it cannot be loaded.
            ConfigError: if it has no contrastive head with text, or several.
        """
        settings = {} if num_frames is None else {"num_frames": num_frames}
        self.ckpt = ckpt
        with _errors_of_key():
            self.model = load(
                ckpt,
                device=device,
                batch_size=batch_size,
                trusted_packages=trusted_packages,
                settings=settings,
            )
        self.hash = weights_hash(self.model.network)[:16]
        heads = [
            name
            for name, head in self.model.network.head.items()
            if head.traits.contrastive and head.text_partners()
        ]
        if len(heads) != 1:
            raise ConfigError(
                f"clipscore.ckpt={ckpt}: has {len(heads)} heads that align media with text (heads: "
                f"{', '.join(self.model.heads)}); use a model with one, trained with "
                "head=contrastive encoder/text=transformer"
            )
        self.head = heads[0]
        self.streams = self.model.network.head[self.head].text_partners()
        self.limit = self.model.reader.preparation.max_length

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, if nothing is cut."""
        reader = self.model.reader
        tokenizer = reader.text_tokenizer or reader.tokenizer
        assert tokenizer is not None, "checked when the model is loaded"
        return tokenizer.encode_measured(texts, reader.preparation.max_length)[1]

    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "b d"]:
        """Return the vectors of texts, which are cut to the limit."""
        return self.model.embed(texts=texts)[f"{self.head}.text"]

    def media(self, files: Sequence[File]) -> tuple[Float[np.ndarray, "b d"], Unread]:
        """Return the vectors of files of one stream; 0 for unreadable ones, with the reasons."""
        pieces = [Piece(file.path, file.start, file.end) for file in files]
        model, stream = self.model, files[0].stream
        samples = model.reader.files(pieces, [str(i) for i in range(len(files))], None)
        process = Process(0, 1, model.device, lambda: None, progress=False)
        results = predicted(
            model.network, samples, [self.head], False, model.run, process, recorded=False
        )
        assert results is not None, "there is one process"
        reasons: Unread = {}
        rows = []
        faults = results.errors()
        for i, output in enumerate(results.outputs(self.head)):
            vector = output[stream].float().cpu().numpy()
            if faults[i] or not output[f"{stream}_present"]:
                reasons[i] = faults[i] or f"contains no {stream} that the model can read"
                vector = np.zeros_like(vector)
            rows.append(vector)
        return np.stack(rows), reasons

    def description(self) -> dict[str, Any]:
        """Return what identifies the model and how it reads media, for ``result.json``."""
        preparation = self.model.reader.preparation
        frames = {"num_frames": preparation.num_frames} if "video" in self.model.modalities else {}
        return {
            "ckpt": self.ckpt,
            "weights_hash": self.hash,
            "head": self.head,
            "max_tokens": self.limit,
            **frames,
        }


@contextmanager
def _errors_of_key() -> Iterator[None]:
    """Name the key ``clipscore.ckpt`` in errors of loading a model, which call it ``ckpt``."""
    try:
        yield
    except MmtxError as error:
        faults = [re.sub(r"^ckpt\b(?=[=:])", "clipscore.ckpt", fault) for fault in error.faults]
        raise type(error)(*faults) from error
