"""The normalizer, on what METEOR 1.5 in Java makes of the same texts."""

import pytest

from mmtx_cli.metric.meteor.normalize import normalized

PREFIXES = {"Mr": False, "No": True}


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("a man with two dogs", "en", "a man with two dogs"),
        ("the man 's well-known dog", "en", "the man ' s well known dog"),
        ("the dog's ball, isn't it?", "en", "the dog 's ball , isn 't it ?"),
        ("in the 1990's", "en", "in the 1990 's"),
        ("1,000 dogs,cats", "en", "1,000 dogs , cats"),
        ("“so” — he said...", "en", '" so " — he said ...'),
        ("Mr. Smith of the U.S. army.", "en", "mr. smith of the us army ."),
        ("No. 5 and No. Five end. here", "en", "no. 5 and no . five end. here"),
        ("1/2 & 50%", "en", "1 / 2 & 50 %"),
        ("l'homme qu'il aime", "fr", "l' homme qu' il aime"),
        ("er hat's", "de", "er hat ' s"),
        ("", "en", ""),
        ("...", "en", "..."),
    ],
)
def test_equals_java(text, language, expected):
    assert normalized(text, language, PREFIXES) == expected.split()
