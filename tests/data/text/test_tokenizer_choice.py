"""Which tokenizers a run reads and writes with."""

from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.data.text.tokenizer_choice import stored_input_tokenizer


def test_a_text_encoder_keeps_its_tokenizer_beside_another_of_the_targets():
    texts = ["a red ball rolls left", "two dogs run", "", "a [EOS] of words that are many and long"]
    own, other = Tokenizer.train(texts * 3, 300), Tokenizer.train(["quite another"] * 3, 300)
    stored = {"tokenizer": own.to_json()}
    assert stored_input_tokenizer(stored, own) is None
    assert stored_input_tokenizer({}, other) is None
    text = stored_input_tokenizer(stored, other)
    kept = Tokenizer.from_json(text, template=True)
    for length in (5, 64):
        assert kept.encode(texts, length) == own.encode(texts, length)
    assert stored_input_tokenizer({**stored, "text_tokenizer": text}, other) == text
