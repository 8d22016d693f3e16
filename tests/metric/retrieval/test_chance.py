"""Recall by chance against random orders that are drawn and counted."""

import numpy as np
import pytest
import torch

from mmtx_cli.metric.retrieval.chance import chance_scores, correct_counts, hit_probability
from mmtx_cli.metric.retrieval.ranks import retrieval_ranks
from mmtx_cli.metric.retrieval.recall import recall_scores


def test_expected_recall_is_the_mean_of_random_orders():
    captions = torch.arange(20).repeat_interleave(3)[:-2]  # the last picture has one caption
    pictures = torch.arange(20)
    there, back = correct_counts(pictures, captions, torch.arange(58))
    assert (there[1], back[1]) == (58, 20)
    queries = {
        "image_to_text": (there[0].numpy(), there[1], pictures.numpy()),
        "text_to_image": (back[0].numpy(), back[1], captions.numpy()),
    }
    expected = chance_scores(queries, 20).metrics()
    random = torch.Generator().manual_seed(0)
    found = []
    for _ in range(400):
        a, b = (torch.randn(n, 8, generator=random) for n in (20, 58))
        ranks = retrieval_ranks(a, b, pictures, captions)
        owners = {"image_to_text": pictures, "text_to_image": captions}
        pairs = {
            way: (rank.numpy(), owners[way].numpy())
            for way, rank in zip(owners, ranks, strict=True)
        }
        found.append(recall_scores(pairs, 20).metrics())
    assert set(expected) == {name for name in found[0] if "median" not in name}
    for name, value in expected.items():
        assert np.mean([figures[name] for figures in found]) == pytest.approx(value, abs=0.02)


def test_equal_texts_are_one_item():
    # pictures 0 and 1 share a caption, word for word; picture 2 has its own
    there, back = correct_counts(torch.arange(3), torch.arange(3), torch.tensor([0, 0, 1]))
    assert (there[0].tolist(), there[1]) == ([1, 1, 1], 2)
    assert (back[0].tolist(), back[1]) == ([2, 2, 1], 3)


def test_a_cut_behind_the_last_item_finds_everything():
    assert hit_probability(np.array([1, 2]), 4, 10).tolist() == [1.0, 1.0]
    assert hit_probability(np.array([1, 2]), 4, 1).tolist() == [0.25, 0.5]
