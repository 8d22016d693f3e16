"""Candidate texts that contrastive heads compare inputs with."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.manifest.sample import KEYS
from mmtx_cli.data.manifest.table_file import check_exists
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.io.table_suffixes import SUFFIXES
from mmtx_cli.io.unicode import composed

if TYPE_CHECKING:
    import torch

    from mmtx_cli.distributed.process import Process
    from mmtx_cli.inference.inputs import InputReader
    from mmtx_cli.model.multimodal import MultimodalModel
    from mmtx_cli.runs.run_config import RunConfig

ALL_TEST = {"test": 1.0}
"""Split ratios that assign rows without a split to ``test``, so that such rows are no error."""


def candidate_texts(given: Any, column: str) -> list[str]:
    """Return the texts given by ``texts=``, without duplicates, in their order.

    A list contains the texts themselves. A path names a .txt file with one text per line, or a
    manifest whose ``column`` (``text`` or ``captions``) holds them.

    Raises:
        ConfigError: if it is neither.
        DataError: if the file is missing, unreadable, or has no text.
    """
    if isinstance(given, Sequence) and not isinstance(given, str):
        texts = [str(text) for text in given]
        if not any(text.strip() for text in texts):
            raise ConfigError('texts: no text given; write texts=\'["a dog","a cat"]\'')
    else:
        texts = list(texts_in(Path(str(given)).expanduser(), column))
        if not any(text.strip() for text in texts):
            raise DataError(f"texts: {given}: contains no text")
    return list(dict.fromkeys(composed(text.strip()) for text in texts if text.strip()))


def texts_in(path: Path, column: str) -> Iterator[str]:
    """Yield the lines of a .txt file, or the texts in a column of a manifest."""
    if path.suffix.lower() not in (*SUFFIXES, ".txt"):
        raise ConfigError(
            f"texts: {path}: not a .txt file or manifest; to pass texts directly, write a list: "
            'texts=\'["a dog","a cat"]\''
        )
    check_exists(path, "text file", (*SUFFIXES, ".txt"), "create a .txt with one text per line")
    if path.suffix.lower() == ".txt":
        try:
            # only "\n" separates texts: they may contain other Unicode line breaks
            yield from path.read_bytes().decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise DataError(
                f"texts: {path}: not UTF-8 at byte {error.start + 1}; save the file as UTF-8"
            ) from error
        return
    from mmtx_cli.data.text.columns import column_texts

    others = {*KEYS} - {"id", "split", column}
    manifest = read_manifest(path, split=ALL_TEST, ignored=others)
    for texts in column_texts(manifest.samples, column):
        yield from texts


def text_vectors(
    model: "MultimodalModel",
    heads: Sequence[str],
    texts: Sequence[str],
    reader: "InputReader",
    run: "RunConfig",
    process: "Process",
    recorded: bool = True,
) -> dict[str, "torch.Tensor"]:
    """Return the embeddings of the texts by each contrastive head, [texts, embed_dim].

    All processes compute them; all but the first return an empty dict.

    Args:
        model: The model.
        heads: Names of the contrastive heads.
        texts: The texts.
        reader: Turns the texts into samples.
        run: The settings; the processes exchange their outputs in its folder.
        process: This process.
        recorded: As for ``all_answers``.
    """
    import torch

    from mmtx_cli.inference.modality_views import all_answers

    if not heads:
        return {}
    samples = reader.texts(texts)
    outputs = all_answers(model, samples, {"": dict}, run, process, "texts", heads, False, recorded)
    if outputs is None:
        return {}
    by_head = {head: dict(outputs.of(head, "")) for head in heads}
    return {
        head: torch.stack([output[sample.id]["text"] for sample in samples.samples]).float()
        for head, output in by_head.items()
    }
