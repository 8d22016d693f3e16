"""A small language model with a tokenizer, saved as transformers saves them."""

from pathlib import Path

import pytest
import torch

TEXT = (
    "a red blue green yellow white black orange purple circle square triangle cross star ring "
    "small large big little is in the middle on plain ground left right of above below and there "
    "top bottom to with"
)
WORDS = TEXT.split()


def save_tokenizer(folder: Path, bos: str | None = "<s>", eos: str | None = "</s>") -> int:
    """Write a tokenizer of words; return the size of its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<unk>", "<pad>", "<s>", "</s>", *dict.fromkeys(WORDS)]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=bos, eos_token=eos, unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder)
    return len(names)


def save_language_model(
    folder: Path, architecture: str = "llama", seed: int = 0, **tokens: str | None
) -> str:
    """Write a tiny model and its tokenizer; return the folder."""
    transformers = pytest.importorskip("transformers")
    folder.mkdir(parents=True, exist_ok=True)
    size = save_tokenizer(folder, **tokens)
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(
        architecture,
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=1,
        tie_word_embeddings=True,
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return str(folder)
