"""The human judgements of Flickr8k: ``ExpertAnnotations.txt`` and ``CrowdFlowerAnnotations.txt``.

Source: Hodosh, Young, Hockenmaier, JAIR 47 (2013), 853-899. Lines of the first are
``IMAGE<TAB>CAPTION_ID<TAB>`` and the judgements of three experts from 1 to 4; lines of the second
``IMAGE<TAB>CAPTION_ID<TAB>`` and the share of yes, the number of yes and of no. The captions are in
``Flickr8k.token.txt``: ``NAME#k<TAB>caption``.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtx_cli.data.importer.flickr8k import text_lines
from mmtx_cli.errors import DataError, truncate
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.files.caption_file import Media
from mmtx_cli.scoring.ratings.media import with_media
from mmtx_cli.scoring.ratings.rated import Rated, judgements_of

SYSTEM = "captions"


def is_flickr8k(path: Path) -> bool:
    """Return whether a file has the form of Flickr8k's judgements, by its first line."""
    if path.suffix.lower() in (".parquet", ".jsonl", ".ndjson") or not path.is_file():
        return False
    first = next(text_lines(path), (0, ""))[1].split("\t")
    return len(first) == 5 and "#" in first[1]


@dataclass(frozen=True)
class _Judged:
    """A caption of an image, with its judgements."""

    place: str
    image: str
    caption_id: str
    numbers: tuple[float, float, float]

    @property
    def is_share(self) -> bool:
        """Whether the numbers are a share of yes, and the numbers of yes and of no."""
        share, yes, no = self.numbers
        return yes + no > 0 and abs(share - yes / (yes + no)) < 1e-5


def read_flickr8k(path: Path, token_file: Path, folder: Path | None = None) -> Rated:
    """Return the judged captions with the references of the images that they are shown with.

    The judgements of the experts are three observations of each caption, and captions that are also
    references of their image are left out (158 of 5,822 in the published file), as by Anderson et
    al. (2016, arXiv:1607.08822) and Hessel et al. (2021, arXiv:2104.08718, appendix A). The rating
    of the crowd is the share of yes; captions rated with their own image leave its references.

    Args:
        path: The judgements.
        token_file: ``Flickr8k.token.txt``.
        folder: The folder of the images, for scores that look at them.

    Raises:
        DataError: with file:line, for lines of another form, and for captions or images that the
            token file does not have.
    """
    texts, images = _captions(token_file)
    judged = _judged(path)
    check_known(judged, texts, images, token_file)
    crowd = all(row.is_share for row in judged)
    known = {
        (row.image, texts[row.caption_id])
        for row in judged
        if texts[row.caption_id] in images[_stem(row.image)]
    }
    kept = judged
    if not crowd:
        kept = [row for row in judged if (row.image, texts[row.caption_id]) not in known]
    captions = Captions(
        [f"{row.image} {row.caption_id}" for row in kept],
        [texts[row.caption_id] for row in kept],
        [
            [text for text in images[_stem(row.image)] if (row.image, text) not in known]
            if crowd
            else images[_stem(row.image)]
            for row in kept
        ],
        [{} for _ in kept],
    )
    more: list[str] = []
    if folder is not None:
        pictures = [Media({"image": (row.image,)}) for row in kept]
        captions, more = with_media(captions, pictures, path, folder)
    if bare := [row for row, own in zip(kept, captions.references, strict=True) if not own]:
        raise DataError(
            f"{bare[0].place}: all captions of image {bare[0].image} in {token_file} are rated, so "
            "that it has no references"
        )
    ratings = [row.numbers[:1] if crowd else row.numbers for row in kept]
    notes = _notes(len(known) if crowd else len(judged) - len(kept), len(judged), crowd)
    return Rated({SYSTEM: captions}, judgements_of(path, ratings), (*notes, *more))


def check_known(
    judged: Sequence[_Judged],
    texts: Mapping[str, str],
    images: Mapping[str, list[str]],
    token_file: Path,
) -> None:
    """Raise DataError for judged captions and images that the token file does not have.

    Args:
        judged: The judged captions.
        texts: Captions by id.
        images: Captions by the stem of their image.
        token_file: The token file, for messages.
    """
    faults = []
    for row in judged:
        missing = [] if row.caption_id in texts else [f"caption {row.caption_id}"]
        missing += [] if _stem(row.image) in images else [f"image {row.image}"]
        if missing:
            what = " and ".join(missing)
            faults.append(f"{row.place}: {what} not found in {token_file}; use the complete file")
    if faults:
        raise DataError(*truncate(faults))


def _notes(known: int, total: int, crowd: bool) -> tuple[str, ...]:
    if not known:
        return ()
    which = f"{known} of {total} rated captions are references of their own image"
    what = "these references are removed" if crowd else "they are left out, as is usual"
    return (f"{which}; {what}",)


def _judged(path: Path) -> list[_Judged]:
    rows, faults = [], []
    for line, text in text_lines(path):
        place, cells = f"{path}:{line}", text.split("\t")
        try:
            image, caption_id, *numbers = cells
            one, two, three = map(float, numbers)
            if not all(map(math.isfinite, (one, two, three))):
                raise ValueError
        except ValueError:
            faults.append(
                f"{place}: {text[:40]!r} is not IMAGE<TAB>CAPTION_ID<TAB> and three numbers"
            )
            continue
        rows.append(_Judged(place, image, caption_id, (one, two, three)))
    if faults:
        raise DataError(*truncate(faults))
    return rows


def _captions(path: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the captions by id, and those of each image by the stem of its name."""
    texts: dict[str, str] = {}
    images: dict[str, list[str]] = defaultdict(list)
    faults = []
    for line, text in text_lines(path):
        name, tab, caption = text.partition("\t")
        image, mark, _ = name.partition("#")
        if not (tab and mark and caption.strip()):
            faults.append(f"{path}:{line}: {text[:40]!r} is not NAME#k<TAB>caption")
            continue
        texts[name] = caption.strip()
        images[_stem(image)].append(caption.strip())
    if faults:
        raise DataError(
            *truncate(faults),
            f"references={path}: judgements of Flickr8k need its captions with their ids; "
            "set references= to Flickr8k.token.txt",
        )
    return texts, dict(images)


def _stem(name: str) -> str:
    """Return an image's name up to the first period: one name has a second suffix, ``.jpg.1``."""
    return name.partition(".")[0]
