"""The texts that a contrastive head compares inputs with."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import ListConfig

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.manifest.sample import KEYS
from mmtx_cli.data.manifest.table_file import check_exists
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.io.table_suffixes import SUFFIXES
from mmtx_cli.io.unicode import composed

if TYPE_CHECKING:
    import torch

    from mmtx_cli.distributed.launch import Process
    from mmtx_cli.inference.inputs import InputReader
    from mmtx_cli.model.multimodal import MultimodalModel

ALL_TEST = {"test": 1.0}
"""Ratios of the splits by which rows that name none are no fault."""


def candidate_texts(given: Any, column: str) -> list[str]:
    """The texts that ``texts=`` names, each once, in their order.

    A list holds the texts themselves; a path is that of a .txt with a text a line, or of a
    manifest, whose rows have them in ``column`` (``text`` or ``captions``).

    Raises:
        ConfigError: if it is neither.
        DataError: if the file is not there, cannot be read, or has no text.
    """
    if isinstance(given, (list, ListConfig)):
        texts = [str(text) for text in given]
        if not any(text.strip() for text in texts):
            raise ConfigError('texts: holds no text; write texts=\'["a dog","a cat"]\'')
    else:
        texts = list(texts_in(Path(str(given)).expanduser(), column))
        if not any(text.strip() for text in texts):
            raise DataError(f"texts: {given}: there is no text in it")
    return list(dict.fromkeys(composed(text.strip()) for text in texts if text.strip()))


def texts_in(path: Path, column: str) -> Iterator[str]:
    """The texts in a file: its lines, or what the rows of a manifest have in a column."""
    if path.suffix.lower() not in (*SUFFIXES, ".txt"):
        raise ConfigError(
            f"texts: {path}: no .txt or manifest; write texts themselves as a list: "
            'texts=\'["a dog","a cat"]\''
        )
    check_exists(path, "file of texts", (*SUFFIXES, ".txt"), "write a .txt with a text a line")
    if path.suffix.lower() == ".txt":
        try:
            # a text may hold what else ends a line of Unicode
            yield from path.read_bytes().decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise DataError(
                f"texts: {path}: not UTF-8 at byte {error.start + 1}; save the file as UTF-8"
            ) from error
        return
    from mmtx_cli.data.text.columns import column_texts

    others = {*KEYS} - {"id", "split", column}
    manifest = read_manifest(path, split=ALL_TEST, ignored=others)
    for several in column_texts(manifest.samples, column):
        yield from several


def text_vectors(
    model: "MultimodalModel",
    heads: Sequence[str],
    texts: Sequence[str],
    reader: "InputReader",
    settings: Mapping[str, Any],
    process: "Process",
    run_dir: Path,
) -> dict[str, "torch.Tensor"]:
    """What each of the contrastive ``heads`` makes of the texts, [texts, embed_dim]; in the first
    process, for the others there is nothing to do with them.
    """
    import torch

    from mmtx_cli.inference.modality_views import all_answers

    if not heads:
        return {}
    samples = reader.texts(texts)
    said = all_answers(
        model, samples, {"": dict}, settings, process, run_dir, "texts", heads, further=False
    )
    if said is None:
        return {}
    by_head = {head: dict(said.of(head, "")) for head in heads}
    return {
        head: torch.stack([own[sample.id]["text"] for sample in samples.samples]).float()
        for head, own in by_head.items()
    }
