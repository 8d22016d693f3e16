"""A trained model as a Python object."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from mmtx_cli.api.inputs import Input, as_pieces
from mmtx_cli.api.loaded import LoadedModel
from mmtx_cli.api.rows import Caption, Explained, raise_unread
from mmtx_cli.api.scores import log_probabilities, scoring_head, similarities, text_tokens
from mmtx_cli.data.input_files import InputFiles
from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.explanation.explain import Explanation
from mmtx_cli.explanation.support import check_explainable
from mmtx_cli.inference.candidate_texts import candidate_texts, text_vectors
from mmtx_cli.inference.head_predictions import predicted
from mmtx_cli.inference.inputs import NO_TOKENIZER, piece_fields
from mmtx_cli.inference.predict_inputs import Task, predicting_heads
from mmtx_cli.runs.trained_model import check_predict

Errors = Literal["raise", "return"]


class Model(LoadedModel):
    """A trained model, made by ``mmtx_cli.load``.

    It may be used from several threads; their computations take turns. Inputs are files of images,
    videos or audio, PIL images, or arrays of pictures (uint8 [h, w], [h, w, 3] or [h, w, 4]);
    one input need not be in a list. Every method returns one result per input, in their order.

    If inputs cannot be read, methods raise a ``DataError`` that names them. With
    ``errors="return"``, their rows have the key ``error`` (NaN in arrays) instead.
    """

    def caption(
        self,
        inputs: Input | Iterable[Input],
        *,
        text: str | None = None,
        segment_seconds: float | None = None,
        seed: int | None = None,
        errors: Errors = "raise",
        **generation: Any,
    ) -> list[Caption]:
        """Generate a caption of each input, or with ``text`` the answer to a question about it.

        Args:
            inputs: Files or pictures.
            text: Text that the model reads with every input: a question, a title.
            segment_seconds: Caption videos in segments of this length; each is a result.
            seed: Seed of sampled texts (default: that of ``load``).
            errors: Whether unreadable inputs ``raise`` an error or ``return`` a row with it.
            generation: Settings of the section ``generation``, e.g. ``num_beams=5`` or
                ``token_scores=True``; by default those of the model.

        Raises:
            ConfigError: if the model generates no texts, or settings are invalid.
            DataError: if inputs cannot be read.
        """
        self.check_caption(bool(text), segment_seconds, seed)
        captioner = self.captioner(generation)
        pieces = as_pieces(inputs, self.reader.limits, segment_seconds)
        own = self.run.seed if seed is None else seed
        found: list[dict[str, Any]] = []
        samples = self._samples(pieces, text)
        with self._lock:
            for part in captioner.parts(samples, self.batch_size, self.run.data.num_workers or 0):
                found += captioner.rows(part, pieces, text, own)
        raise_unread(errors, enumerate(row.get("error") for row in found), pieces)
        return found  # type: ignore[return-value]

    def explain(
        self,
        inputs: Input | Iterable[Input],
        *,
        text: str | None = None,
        method: str = "gradient",
        seed: int | None = None,
        errors: Errors = "raise",
        **generation: Any,
    ) -> list[Explained]:
        """Generate a caption of each input, with heat maps that show where the model sees each
        word.

        Args:
            inputs: Files or pictures.
            text: Text that the model reads with every input.
            method: ``gradient`` or ``rollout``, as ``mmtx caption explain=``.
            seed: Seed of sampled texts (default: that of ``load``).
            errors: Whether unreadable inputs ``raise`` an error or ``return`` a row with it.
            generation: As for ``caption``.

        Raises:
            ConfigError: if the captions of the model cannot be explained, or settings are invalid.
            DataError: if inputs cannot be read.
        """
        self.check_caption(bool(text), seed=seed)
        captioner = self.captioner(dict(generation, token_scores=True))
        check_explainable(self.network, method, captioner.name)
        pieces = as_pieces(inputs, self.reader.limits)
        own = self.run.seed if seed is None else seed
        found: list[tuple[dict[str, Any], Explanation]] = []
        samples = self._samples(pieces, text)
        with self._lock:
            for part in captioner.parts(samples, self.batch_size, self.run.data.num_workers or 0):
                found += captioner.explained(part, pieces, text, own, method)
        rows = [row for row, _ in found]
        for row, explanation in found:
            if "error" not in row:
                row["maps"] = {name: x.float().numpy() for name, x in explanation.maps.items()}
        raise_unread(errors, enumerate(row.get("error") for row in rows), pieces)
        return rows  # type: ignore[return-value]

    def score(
        self,
        inputs: Input | Iterable[Input],
        texts: Sequence[str],
        *,
        text: str | None = None,
        head: str | None = None,
        stream: str | None = None,
        errors: Errors = "raise",
    ) -> np.ndarray:
        """Return how well each text fits each input, float32 [inputs, texts]; higher is better.

        A captioner returns the mean log-probability of the tokens of a text, with its end token: at
        most 0, and the ``score`` of a caption that it generates itself (with ``length_penalty=1``).
        A dual encoder (``head=contrastive``) returns the cosine similarity.

        Args:
            inputs: Files or pictures.
            texts: The texts.
            text: Text that a captioner reads with every input, such as a question.
            head: Name of the head, if the model has several that compare texts.
            stream: The modality that is compared, for a dual encoder of which inputs have several.
            errors: Whether unreadable inputs ``raise`` an error or ``return`` NaN.

        Raises:
            ConfigError: if the model cannot compare texts with inputs.
            DataError: if inputs cannot be read, or texts are too long.
        """
        if isinstance(texts, str) or not len(texts) or not all(str(each).strip() for each in texts):
            raise ConfigError("texts: must be a list of texts that are not empty")
        name = scoring_head(self.network, head)
        module: Any = self.network.head[name]
        pieces = as_pieces(inputs, self.reader.limits)
        samples = self._samples(pieces, text)
        if module.traits.contrastive:
            check_predict(self.run, {"texts": [*texts], "text": text})
            scores, unread = self._similarities(name, samples, texts, stream)
        else:
            self.check_caption(bool(text))
            if (tokenizer := self.reader.tokenizer) is None:
                raise CheckpointError(f"ckpt={self.run.ckpt}: {NO_TOKENIZER}")
            tokens = text_tokens(texts, module, tokenizer, self.device)
            sizes = (self.batch_size, self.run.data.num_workers or 0, self.run.trainer.precision)
            with self._lock:
                scores, unread = log_probabilities(self.network, module, samples, tokens, *sizes)
        raise_unread(errors, unread.items(), pieces)
        return scores

    def _similarities(
        self, name: str, samples: InputFiles, texts: Sequence[str], stream: str | None
    ) -> tuple[np.ndarray, dict[int, str]]:
        """Return the similarities by a contrastive head, and which inputs have none."""
        rest = (self.run, self._process)
        with self._lock:
            vectors = text_vectors(self.network, [name], texts, self.reader, *rest, recorded=False)
            results = predicted(self.network, samples, [name], False, *rest, recorded=False)
        assert results is not None, "there is one process"
        scores = similarities(results, name, vectors[name], stream)
        return scores, {i: error for i, error in enumerate(results.errors()) if error}

    def embed(
        self,
        inputs: Input | Iterable[Input] = (),
        *,
        texts: Sequence[str] = (),
        text: str | None = None,
        errors: Errors = "raise",
    ) -> dict[str, np.ndarray]:
        """Return embeddings of inputs, or of ``texts``, by name: float32 [inputs, width].

        The names are those of ``mmtx predict embeddings=true``: each modality and ``fused`` (the
        mean of their tokens), and for a dual encoder its unit vectors as ``contrastive.image``,
        ``contrastive.text``. A row is NaN if an input lacks the modality.

        Args:
            inputs: Files or pictures.
            texts: Texts, instead of inputs.
            text: Text that the model reads with every input.
            errors: Whether unreadable inputs ``raise`` an error or ``return`` NaN.

        Raises:
            ConfigError: if the model has no embeddings of this kind.
            DataError: if inputs cannot be read.
        """
        if isinstance(texts, str):
            texts = [texts]
        if len(texts):
            if "text" not in self.modalities:
                raise ConfigError("texts: this model has no text encoder; pass files or pictures")
            check_predict(self.run, {"text": texts[0], "embeddings": True})
            samples, lines = self.reader.texts(texts), [{"text": each} for each in texts]
            named: Sequence[Any] = lines
        else:
            check_predict(self.run, {"text": text, "inputs": True, "embeddings": True})
            named = as_pieces(inputs, self.reader.limits)
            samples, lines = self._samples(named, text), [{} for _ in named]
        results = self._fill(lines, samples, Task([], embeddings=True))
        raise_unread(errors, enumerate(line.get("error") for line in lines), named)
        return results.embeddings()

    def predict(
        self,
        inputs: Input | Iterable[Input],
        *,
        text: str | None = None,
        texts: Sequence[str] = (),
        top: int = 5,
        segment_seconds: float | None = None,
        errors: Errors = "raise",
    ) -> list[dict[str, Any]]:
        """Return the predictions of every head for each input, as a line of ``mmtx predict``.

        Args:
            inputs: Files or pictures.
            text: Text that the model reads with every input.
            texts: Candidate texts that a dual encoder ranks.
            top: Number of most likely classes (answers, texts) per input.
            segment_seconds: Predict for videos in segments of this length.
            errors: Whether unreadable inputs ``raise`` an error or ``return`` a row with it.

        Raises:
            ConfigError: if no head of the model can predict, or settings are invalid.
            DataError: if inputs cannot be read.
        """
        given = {"text": text, "texts": [*texts], "top": top, "segment_seconds": segment_seconds}
        check_predict(self.run, {**given, "inputs": True})
        candidates = candidate_texts([*texts], "text") if len(texts) else []
        heads = predicting_heads(self.network, bool(candidates))
        if not heads:
            raise ConfigError(
                f"ckpt={self.run.ckpt}: no head makes predictions for new inputs (heads: "
                f"{', '.join(self.heads)}); use embed"
            )
        pieces = as_pieces(inputs, self.reader.limits, segment_seconds)
        fields = {"text": text} if text else {}
        lines = [piece_fields(piece) | fields for piece in pieces]
        self._fill(lines, self._samples(pieces, text), Task(heads, candidates, top))
        raise_unread(errors, enumerate(line.get("error") for line in lines), pieces)
        return lines
