"""Texts behind prompts of different lengths."""

import torch

from mmtx_cli.types import IGNORE_INDEX
from mmtx_cli.vlm.sequence import extended


def test_texts_follow_the_prompts_without_gaps():
    arguments = {
        "input_ids": torch.tensor([[5, 6, 7], [8, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1], [1, 0, 0]]),
        "token_type_ids": torch.zeros(2, 3, dtype=torch.long),
        "cross_attention_mask": torch.tensor([[[0], [0], [1]], [[1], [0], [0]]]),
        "pixel_values": torch.zeros(2, 3, 4, 4),
    }
    words = torch.tensor([[1, 2], [3, IGNORE_INDEX]])
    found = extended(arguments, words, "paligemma")
    assert found["input_ids"].tolist() == [[5, 6, 7, 1, 2], [8, 3, 0, 0, 0]]
    assert found["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert found["token_type_ids"].tolist() == [[0, 0, 0, 1, 1], [0, 1, 0, 0, 0]]
    assert found["cross_attention_mask"][:, :, 0].tolist() == [[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert found["pixel_values"] is arguments["pixel_values"]
    assert extended(arguments, words, "gemma3")["token_type_ids"].sum() == 0
