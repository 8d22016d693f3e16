"""CLIP, SigLIP, CLAP and similar models of the hub, for CLIPScore."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmtx_cli.decoder.language_model import load_pretrained, weights_hash
from mmtx_cli.hub.huggingface import preprocessor, tokenizer_of, transformers
from mmtx_cli.media.audio.decode import decode_sound
from mmtx_cli.media.backend import load_decoders
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.image_reader import read_picture
from mmtx_cli.media.video.decode import decode_video
from mmtx_cli.media.video.frame_sampling import Sampling
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from mmtx_cli.media.worker.limits import DecodeLimits
from mmtx_cli.scoring.neural.batches import unit
from mmtx_cli.scoring.neural.dual_encoder import DualEncoder, File, Unread
from mmtx_cli.scoring.neural.text_encoder import resolved, token_limit

FRAMES = 8
"""Frames of a film, unless another number is chosen."""
PREFIX = "A photo depicts"
"""What the authors of CLIPScore put before captions (section 3.1)."""
PADDED = ("siglip", "siglip2")
"""Models that were trained with texts padded to full length, which they read without a mask."""


class HubDualEncoder(DualEncoder):
    """A model with the methods of transformers for features of texts and of pictures or sounds.

    A film is the mean of the unit vectors of its frames, a sound that of its consecutive parts of
    the length that the model reads.
    """

    def __init__(
        self, weights: str, device: torch.device, batch_size: int, num_frames: int | None = None
    ) -> None:
        """Load the model.

        Args:
            weights: A name on the hub, a folder, or ``package:NAME/FOLDER``.
            device: The device.
            batch_size: Pictures per batch.
            num_frames: Frames of a film.

        Raises:
            ValueError: if it cannot be loaded, or does not compare texts with pictures or sounds.
        """
        folder = resolved(weights)
        model: Any = load_pretrained(folder, "float32", "AutoModel")
        self.streams = [
            name for name in ("image", "audio") if hasattr(model, f"get_{name}_features")
        ]
        if not self.streams or not hasattr(model, "get_text_features"):
            raise ValueError(
                f"weights={weights}: a {model.config.model_type} model does not compare texts with "
                "pictures or sounds; use for example openai/clip-vit-base-patch32"
            )
        self.weights, self.hash = weights, weights_hash(model)[:16]
        self.model, self.device = model.to(device).eval(), device
        self.batch_size, self.num_frames = batch_size, num_frames or FRAMES
        self.tokenizer = tokenizer_of(folder)
        self.limit = token_limit(
            self.tokenizer, model.config.get_text_config(), getattr(model, "text_model", None)
        )
        kinds = {"image": "ImageProcessor", "audio": "FeatureExtractor"}
        self.processors = {name: preprocessor(folder, kinds[name]) for name in self.streams}
        self.prefix = PREFIX if "image" in self.streams else ""
        self.width = self.texts(["a"]).shape[1]
        limits = self.limits = DecodeLimits()
        load_decoders()  # not during the first call, whose time limit it would count towards
        self.guard = IsolatedDecoder(limits.seconds, load_decoders, limits.bytes, limits.isolated)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, if nothing is cut."""
        rows = self.tokenizer(list(texts), padding=False, truncation=False, verbose=False)
        return [len(row) for row in rows["input_ids"]]

    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "b d"]:
        """Return the vectors of texts, which are cut to the limit."""
        whole = self.model.config.model_type in PADDED
        inputs = self.tokenizer(
            list(texts),
            padding="max_length" if whole else True,
            truncation=self.limit is not None,
            max_length=self.limit,
            return_tensors="pt",
        ).to(self.device)
        if whole:
            inputs = {"input_ids": inputs["input_ids"]}
        return self._features("text", **inputs)

    def media(self, files: Sequence[File]) -> tuple[Float[np.ndarray, "b d"], Unread]:
        """Return the vectors of files of one stream; 0 for unreadable ones, with the reasons."""
        parts: list[list[np.ndarray]] = []
        unread: Unread = {}
        for i, file in enumerate(files):
            try:
                parts.append(self._parts(file))
            except UnreadableError as error:
                unread[i] = error.reason
                parts.append([])
        flat = [part for own in parts for part in own]
        vectors = [
            self._part_vectors(files[0].stream, flat[i : i + self.batch_size])
            for i in range(0, len(flat), self.batch_size)
        ]
        every = unit(np.concatenate([np.zeros((0, self.width)), *vectors]))
        found, first = np.zeros((len(parts), self.width), np.float32), 0
        for i, own in enumerate(parts):
            if own:
                found[i] = every[first : first + len(own)].mean(axis=0)
            first += len(own)
        return found, unread

    def _parts(self, file: File) -> list[np.ndarray]:
        """Return the pictures [h, w, 3] or the sounds [n] of a file.

        Raises:
            UnreadableError: if it cannot be read.
        """
        path, times = file.path, (file.start, file.end)
        if file.stream == "audio":
            rate = self.processors["audio"].sampling_rate
            wave = self.guard.run(decode_sound, path, rate, None, *times, None)
            if wave is None or not len(wave):
                raise UnreadableError(path, "has no sound")
            most = int(getattr(self.processors["audio"], "nb_max_samples", len(wave)))
            return [part.numpy() for part in wave.split(most)]
        if file.modality == "image":
            return [read_picture(self.guard, path, None, self.limits.pixels)]
        side, fit = self._frame_size()
        sampling = Sampling(self.num_frames)
        frames = self.guard.run(decode_video, path, sampling, side, fit, *times, None).frames
        return [frame.permute(1, 2, 0).numpy() for frame in frames]

    def _frame_size(self) -> tuple[int, str]:
        """Return the side of the square that frames are fitted to, and how."""
        processor = self.processors["image"]
        crop = getattr(processor, "crop_size", None) if processor.do_center_crop else None
        size = dict(crop or processor.size)
        side = size.get("height") or size.get("shortest_edge") or 224
        return int(side), "crop" if crop else "squash"

    def _part_vectors(self, stream: str, parts: Sequence[np.ndarray]) -> np.ndarray:
        if stream == "audio":
            processor = self.processors["audio"]
            inputs = processor(
                list(parts), sampling_rate=processor.sampling_rate, return_tensors="pt"
            )
            if "is_longer" in inputs:
                # no part is longer than the model reads; the processor marks one at random
                inputs["is_longer"] = torch.zeros(len(parts), 1, dtype=torch.bool)
            return self._features("audio", **inputs.to(self.device))
        inputs = self.processors["image"](
            images=list(parts), return_tensors="pt", input_data_format="channels_last"
        ).to(self.device)
        return self._features("image", **inputs)

    def _features(self, name: str, **inputs: Tensor) -> np.ndarray:
        with torch.inference_mode():
            found = getattr(self.model, f"get_{name}_features")(**inputs)
        vectors: Tensor = found if isinstance(found, Tensor) else found.pooler_output
        return vectors.float().cpu().numpy()

    def description(self) -> dict[str, Any]:
        """Return what identifies the model and how it reads media, for ``result.json``."""
        return {
            "weights": self.weights,
            "weights_hash": self.hash,
            "max_tokens": self.limit,
            "num_frames": self.num_frames,
            "transformers": transformers().__version__,
        }
