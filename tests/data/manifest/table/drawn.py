"""Drawn samples with every kind of value, and tables of them."""

from pathlib import Path

from hypothesis import strategies as st

from mmtx_cli.data.manifest.feature_reference import MODALITIES, FeaturePlace
from mmtx_cli.data.manifest.sample import SPLITS, Sample
from mmtx_cli.data.manifest.table.joined import write_table
from mmtx_cli.data.manifest.table.samples import SampleTable, TableFile

# no lone surrogates, which manifests may not have; quotes and line breaks are printed with escapes
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
PATH = st.sampled_from(["/data/a.png", "/data/b/c d.png", "/data/b/é\u0301.mp4", "/data/b/'\\n'"])
SECONDS = st.none() | st.floats(0, 1e6)
NUMBER = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30)
PLACE = st.builds(FeaturePlace, PATH, st.none() | TEXT, st.none() | st.integers(0, 10**25))


def tuples(values, least=0):
    return st.lists(values, min_size=least, max_size=3).map(tuple)


@st.composite
def samples(draw, most=12):
    """Samples with unique ids; half of the columns are empty in all rows."""
    columns = {
        "image": tuples(PATH),
        "video": st.none() | PATH,
        "start": SECONDS,
        "end": SECONDS,
        "audio": st.none() | PATH,
        "text": st.none() | TEXT,
        "captions": tuples(TEXT),
        "label": st.none() | TEXT | NUMBER | tuples(TEXT),
        "answers": st.dictionaries(TEXT, st.floats(0.1, 9), max_size=3),
        "group": st.none() | TEXT,
        "features": st.dictionaries(st.sampled_from(MODALITIES), PLACE, max_size=3),
    }
    used = {name: column for name, column in columns.items() if draw(st.booleans())}
    ids = draw(st.lists(TEXT, min_size=1, max_size=most, unique=True))
    return [
        Sample(
            id=ident,
            split=draw(st.sampled_from(SPLITS)),
            line=i + 1,
            **{name: draw(column) for name, column in used.items()},
        )
        for i, ident in enumerate(ids)
    ]


def table_of(rows, path: Path, corpus: str | None = None) -> SampleTable:
    """The rows as a table, written to a file at ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(rows, path)
    return SampleTable([TableFile(path, corpus)])
