import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.metric.ngrams import _stable_order

# with few values many are equal; the ends of the 16 bits that are sorted at a time are rare ones
KEYS = st.sampled_from([0, 1, 2**16 - 1, 2**16, 2**32 + 1, 2**48, 2**62]) | st.integers(0, 2**62)


@given(st.lists(KEYS, max_size=60))
def test_keys_are_sorted_and_equal_ones_keep_their_places(keys):
    order = _stable_order(np.array(keys, np.int64)).tolist()
    assert order == sorted(range(len(keys)), key=lambda place: keys[place])
