from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.data.manifest.splits import split_of


@given(st.text(min_size=1), st.integers(0, 99))
def test_a_split_without_share_stays_empty(ident, seed):
    assert split_of(ident, {"train": 0.0, "val": 0.5, "test": 0.5}, seed) in ("val", "test")
