from typing import Any

from mmtx_cli.report.gallery import Gallery, captions_part, galleries
from mmtx_cli.report.sound import Sounds
from mmtx_cli.report.thumbnail import Thumbnails


def caption_rows(count: int, scored: bool = True) -> list[dict[str, Any]]:
    return [
        {
            "id": f"s{i}",
            "inputs": {"image": [f"{n}.jpg" for n in range(i)]},
            "text": {
                "caption": f"c{i}",
                "references": [],
                "scores": {"cider": i} if scored else {},
            },
        }
        for i in range(count)
    ]


def shown(gallery: Gallery) -> dict[str, list[str]]:
    return {part.title: [card.id for card in part.cards] for part in gallery.parts}


def only(rows: list[dict[str, Any]], size: int = 2) -> Gallery:
    (gallery,) = galleries(rows, size, Thumbnails(), Sounds())
    return gallery


def test_best_worst_and_random() -> None:
    parts = shown(only(caption_rows(9)))
    assert parts["Best"] == ["s8", "s7"]
    assert parts["Worst"] == ["s0", "s1"]
    assert len(parts["Random"]) == 2


def test_the_random_draw_depends_on_ids_alone() -> None:
    rows = caption_rows(50)
    assert shown(only(rows))["Random"] == shown(only(rows[::-1]))["Random"]
    other = [{**row, "text": {"caption": "x", "scores": {"cider": 0.5}}} for row in rows]
    assert shown(only(other))["Random"] == shown(only(rows))["Random"]


def test_a_sample_is_not_both_best_and_worst() -> None:
    parts = shown(only(caption_rows(3)))
    assert parts["Best"] == ["s2", "s1"]
    assert parts["Worst"] == ["s0"]


def test_few_are_shown_whole() -> None:
    assert shown(only(caption_rows(3), size=3)) == {"All, best first": ["s2", "s1", "s0"]}


def test_without_scores_only_the_draw_is_shown() -> None:
    assert list(shown(only(caption_rows(5, scored=False)))) == ["Random"]


def test_no_gallery_no_cards_but_the_confusions_stay() -> None:
    rows = [{"id": i, "head": {"prediction": "ab"[i % 2], "label": "a"}} for i in range(4)]
    gallery = only(rows, size=0)
    assert gallery.parts == []
    assert gallery.confusion is not None


def test_many_pictures_are_counted() -> None:
    (card,) = [card for card in only(caption_rows(8), 8).parts[0].cards if card.id == "s7"]
    assert len(card.pictures) == 4
    assert card.more_pictures == 3


def test_captions_keep_their_order() -> None:
    rows = [{"path": f"{i}.jpg", "caption": f"c{i}", "score": -i} for i in range(5)]
    part = captions_part(rows, 3, Thumbnails(), Sounds())
    assert part.title == "3 of 5"
    assert [card.verdict.prediction for card in part.cards] == ["c0", "c1", "c2"]
