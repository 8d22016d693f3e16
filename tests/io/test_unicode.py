"""Texts that look the same are the same, whatever Unicode form they come in."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.text.answer_normalization import normal_answer
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.io.unicode import composed
from mmtx_cli.metric.caption import caption_scores
from mmtx_cli.metric.diversity import diversity

TEXTS = ["một người đàn ông", "größer als Ångström", "빨간 공이 구른다", "un élève très âgé"]
FORMS = ("NFC", "NFD")


def in_form(text, form):
    return unicodedata.normalize(form, text)


@pytest.mark.parametrize("text", TEXTS)
def test_scored_and_counted_in_one_form(text):
    texts = [in_form(text, form) for form in FORMS]
    assert texts[0] != texts[1]
    assert diversity(texts)["distinct"] == 1
    assert normal_answer(texts[0]) == normal_answer(texts[1])
    scores = caption_scores(["a", "b"], texts, [[texts[1]], [texts[0]]])
    assert scores.per_sample["bleu_1"].tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("text", TEXTS)
def test_learned_in_one_form(text):
    texts = [in_form(text, form) for form in FORMS]
    (first,), (second,) = (Tokenizer.train([one] * 2, 300).encode([texts[0]], 99) for one in texts)
    assert first == second


def test_read_in_one_form_but_for_names_of_files_and_samples(tmp_path):
    word = in_form("é", "NFD")
    row = {
        "id": word, "split": "train", "image": f"{word}.png", "text": word, "captions": [word],
        "label": word, "group": word, "answers": {word: 2, in_form("é", "NFC"): 1},
    }  # fmt: skip
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (tmp_path / "a.card.yaml").write_text(f'label_names: ["{word}"]\n', encoding="utf-8")
    (sample,) = read_manifest(tmp_path / "a.jsonl", check_files=False).samples
    assert (sample.id, sample.image) == (word, (str(tmp_path / f"{word}.png"),))
    assert (sample.text, sample.captions, sample.label, sample.group) == ("é", ("é",), "é", "é")
    assert sample.answers == {"é": 3}


@given(st.text())
def test_composing_twice_changes_nothing_more(text):
    assert composed(composed(text)) == composed(text) == in_form(text, "NFC")
