"""Prompts of language models with a text of each row."""

from collections.abc import Iterator, Sequence

from mmtx_cli.config.preprocessing import PLACE
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.facts import values
from mmtx_cli.data.manifest.table.samples import SampleTable
from mmtx_cli.data.text.columns import TextColumn
from mmtx_cli.data.text.stored_columns import stored_arrays
from mmtx_cli.data.text.tokenizer import Tokenizer

ANY_LENGTH = 1_000_000_000


class PromptTokenizer:
    """Tokenizes a template in which the row's text is inserted.

    Names of special tokens mean these tokens in the template, but are plain text in a row.

    Args:
        tokenizer: The model's tokenizer.
        template: The text around ``{text}``.
    """

    def __init__(self, tokenizer: Tokenizer, template: str) -> None:
        self.tokenizer = tokenizer
        self.parts = tokenizer.encode_template(template.split(PLACE))

    def encode_measured(
        self, texts: Sequence[str], max_length: int
    ) -> tuple[list[list[int]], list[int]]:
        """Return the prompt of each text, and its length; prompts are not truncated."""
        first, *others = self.parts
        rows = [
            [*first, *(t for part in others for t in (*own, *part))]
            for own in self.tokenizer.encode_plain(texts)
        ]
        return rows, [len(row) for row in rows]


def prompt_column(
    samples: Sequence[Sample], template: str, tokenizer: Tokenizer | None
) -> TextColumn:
    """Return the prompt of each sample; a sample without text has an empty one in its place."""
    assert tokenizer is not None, "prompts need a tokenizer"
    encoder = PromptTokenizer(tokenizer, template)
    if isinstance(samples, SampleTable):
        arrays, facts = stored_arrays(
            samples,
            lambda: (((text,), None) for text in _texts(samples)),
            encoder,
            ("prompt", template, tokenizer.identity),
            ANY_LENGTH,
        )
        return TextColumn.of_arrays(arrays, ANY_LENGTH, **facts)
    return TextColumn([(text,) for text in _texts(samples)], encoder, ANY_LENGTH)


def _texts(samples: Sequence[Sample]) -> Iterator[str]:
    return values(samples, ("text",), lambda row: row.text or "")
