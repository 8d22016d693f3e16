"""A modality that goes round among the samples."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.data.sampling.permutation import source_rows
from tests.data.small import rows, samples_of


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 2**32))
def test_present_samples_are_permuted_without_fixed_points(has, seed):
    has = np.array(has)
    source = source_rows(has, seed)
    assert sorted(source) == list(range(len(has)))
    assert (source[~has] == np.flatnonzero(~has)).all()
    if has.sum() > 1:
        assert (source[has] != np.flatnonzero(has)).all()
        assert has[source[has]].all()
    assert (source_rows(has, seed) == source).all()


def test_only_the_shuffled_modality_changes(tmp_path):
    made = rows(tmp_path)
    plain, shuffled = samples_of(made), samples_of(made)
    shuffled.shuffle("image", seed=3)
    source = shuffled.source_rows["image"]
    for i, row in enumerate(made):
        here, there = shuffled[(0, i)], plain[(0, i)]
        assert here.inputs.keys() == there.inputs.keys()
        assert here.targets.keys() == there.targets.keys()
        if row.text:
            assert torch.equal(here.inputs["text"], there.inputs["text"])
        if row.image:
            assert source[i] != i
            lent = plain[(0, int(source[i]))].inputs["image"]
            assert torch.equal(here.inputs["image"], lent)


def test_texts_go_round_among_those_that_have_one(tmp_path):
    made = rows(tmp_path)
    plain, shuffled = samples_of(made), samples_of(made)
    shuffled.shuffle("text", seed=0)
    source = shuffled.source_rows["text"]
    for i, row in enumerate(made):
        assert ("text" in shuffled[(0, i)].inputs) == (row.text is not None)
        if row.text:
            assert made[source[i]].text is not None
            lent = plain[(0, int(source[i]))].inputs["text"]
            assert torch.equal(shuffled[(0, i)].inputs["text"], lent)
