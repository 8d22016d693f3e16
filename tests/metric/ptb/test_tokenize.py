import random
import shutil
import subprocess
from pathlib import Path

import pycocoevalcap.tokenizer.ptbtokenizer as theirs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtx_cli.metric.ptb.tokenize import DROPPED, tokenize
from tests.metric.corpora import flickr_captions

# What Stanford CoreNLP 3.4.1 and the removal of punctuation give, recorded.
GOLDEN = [
    (
        "A man in a blue shirt is standing on a ladder cleaning a window .",
        "a man in a blue shirt is standing on a ladder cleaning a window",
    ),
    (
        "Two dogs, one black and one white, run through the grass.",
        "two dogs one black and one white run through the grass",
    ),
    (
        "He doesn't know; they're sure it's the dog's and I'd say y'all can't.",
        "he does n't know they 're sure it 's the dog 's and i 'd say y' all ca n't",
    ),
    (
        "cannot CANNOT gonna gotta lemme gimme wanna",
        "can not can not gon na got ta lem me gim me wan na",
    ),
    (
        "'Twas the night, 'tis the season, 'cause rock 'n' roll isn't dead 'til 90",
        "'t was the night 't is the season 'cause rock 'n' roll is n't dead 'til 90",
    ),
    (
        "don’t can’t it’s ‘quoted’ “double” „low“ «guillemets» ‹single›",
        "do n't ca n't it 's quoted double „ low guillemets single",
    ),
    (
        "o'clock O'Brien's D'Arcy l'eau d'or c'mon ol' somethin' nor'easter s'mores",
        "o'clock o'brien 's d'arcy l'eau d'or c'mon ol' somethin' nor'easter s'mores",
    ),
    ("the boys' hats, the '90s, in '90 and 90's", "the boys hats the '90s in '90 and 90 's"),
    ("\"quoted\" 'single' ``tex'' `tick`", "quoted single tex tick"),
    (
        "t-shirt x-ray 3-year-old co-ed pro- anti-war mid-1990s -5 --- ---- -----",
        "t-shirt x-ray 3-year-old co-ed pro- anti-war mid-1990s -5 -----",
    ),
    ("a - b -- c — d – e", "a b c d e"),
    (
        "user@example.com <a.b@c.org> @user #hashtag #1 @ the",
        "user@example.com <a.b@c.org> @user #hashtag # 1 @ the",
    ),
    (
        "http://www.example.com/a?b=c, https://a.b/c. www.foo.com foo.org/bar Foo.com",
        "http://www.example.com/a?b=c https://a.b/c www.foo.com foo.org/bar foo.com",
    ),
    (
        "U.S. U.K. e.g. i.e. a.m. p.m. Ph.D. N.Y.C. J.R.R. Tolkien",
        "u.s. u.k. e.g. i.e. a.m. p.m. ph.d. n.y.c. j.r.r. tolkien",
    ),
    (
        "Mr. Smith and Mrs. Jones met Dr. Who at St. John's Ave. in Jan. etc.",
        "mr. smith and mrs. jones met dr. who at st. john 's ave. in jan. etc.",
    ),
    (
        "Inc. Co. Ltd. vs. no. 5 figs. 3 ca. 1900 no. way",
        "inc. co. ltd. vs. no. 5 figs. 3 ca. 1900 no way",
    ),
    (
        "I. The man and plan A. B is next to vitamin C.",
        "i the man and plan a. b is next to vitamin c.",
    ),
    ("A sign says STOP. The car stops.", "a sign says stop the car stops"),
    (
        "1,000.5 1,000 3/4 1 1/2 10:30 10:30am 12/31/1999 1990s 3rd 2x4 50mph .5 +5",
        "1,000.5 1,000 3/4 1\xa01/2 10:30 10:30 am 12/31/1999 1990s 3rd 2x4 50mph .5 +5",
    ),
    ("$5 US$5 £5 €5 ¥5 5¢ 5% C# c++ F#", "$ 5 us$ 5 # 5 $ 5 ¥ 5 5 cents 5 % c# c++ f#"),
    ("½ cup ⅓ ¼ 1½ x² H₂O 3⁄4", "1/2 cup 1/3 1/4 1 1/2 x ² h ₂ o 3⁄4"),
    (
        "555-1234 (415) 555-1212 415.555.1212 10 100000 people",
        "555-1234 -lrb-415-rrb-\xa0555-1212 415.555.1212 10\xa0100000 people",
    ),
    ("wait... what . . . ok…", "wait what ok"),
    (
        "what?! really?? no!! (yes) [no] {maybe} <tag> << >>",
        "what ?! really ?? no !! -lrb- yes -rrb- -lsb- no -rsb- -lcb- maybe -rcb- <tag> << >>",
    ),
    (":) :-) ;-) =D ^_^ (^_^) <3", ":-rrb- :--rrb- ;--rrb- =d ^_^ -lrb-^_^-rrb- < 3"),
    (
        '<b>bold</b> <br/> <a href="x y">link</a>',
        '<b> bold </b> <br/> <a\xa0href="x\xa0y"> link </a>',
    ),
    (
        "AT&T AT&amp;T &amp; &lt; &gt; &quot;hi&quot; &nbsp; caf&eacute; &mdash; R+D",
        "at&t at&t & < > hi caf&eacute; r+d",
    ),
    ("colour theatre centre programme grey", "colour theatre centre programme grey"),
    (
        "and/or a/b/c 24/7 w/ his x=y *star* ** \\* ~ ^ | \\ _ a_b",
        "and/or a/b/c 24/7 w / his x = y * star * ** \\* ~ ^ | \\ _ a_b",
    ),
    (
        "café naïve Ünder straße Ωmega привет 日本語 é ٣٤",
        "café naïve ünder straße ωmega привет 日本語 é ٣٤",
    ),
    (
        "soft\xadhyphen \xad no\xa0break thin\u2009space zero\u200bwidth",
        "softhyphen no break thin space zero width",
    ),
    ("😀 dog 👍🏽cat → ★ • ©", "dog cat → ★ • ©"),
    ("image.jpg file.txt, index.html a.py v2.0", "image.jpg file.txt index.html a.py v2 .0"),
    ("word.word end.The one;two this:that a,b", "word.word end.the one two this that a b"),
    ("-LRB- C.D.s Cap'n S&P-500 Canada-U.S. trade", "-lrb- c.d.s cap'n s&p-500 canada-u.s. trade"),
    ('he said:"hello"and left', "he said hello and left"),
    ("5'10\" tall 6ft. 100th.", "5 10 tall 6ft 100th"),
    ("\t tabs\tbetween \x80 \x93smart\x94 \x7f", "tabs between $ smart"),
]

# Captions a fuzzer joins at random; what Java makes of them is asked where there is a Java.
PIECES = [word for caption, _ in GOLDEN for word in caption.split()]


@pytest.mark.parametrize(("caption", "expected"), GOLDEN, ids=range(len(GOLDEN)))
def test_gives_the_tokens_of_the_java_tokenizer(caption, expected):
    assert " ".join(tokenize(caption)) == expected


@pytest.mark.parametrize("caption", ["", " ", "\n", ".", " ... ! ", "\u200b", "\x07", "😀"])
def test_a_caption_without_words_has_no_tokens(caption):
    assert tokenize(caption) == []


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\u2028", "\x85"])
def test_a_line_break_is_a_space(line_break):
    assert tokenize(f"a dog{line_break}runs.") == ["a", "dog", "runs"]


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_tokens_are_lower_case_without_punctuation_or_spaces(caption):
    for token in tokenize(caption):
        assert token
        assert token not in DROPPED
        assert " " not in token
        assert token == token.lower()


@pytest.mark.parametrize(
    "piece", ["a.", "x-", "a'", "<a ", "1 ", "www.a", "&", "\xad", "a@", "(", "é"]
)
def test_a_hostile_caption_comes_to_an_end(piece):
    assert tokenize(piece * 3000) is not None  # patterns that backtrack would run for ever


def java_tokens(captions):
    """What the Java tokenizer gives; after each caption a line that changes nothing of it."""
    jar = Path(theirs.__file__).with_name(theirs.STANFORD_CORENLP_3_4_1_JAR)
    options = ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    text = "".join(f"{caption}\nzzz\n" for caption in captions)
    command = ["java", "-cp", str(jar), *options]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
    lines = done.stdout.decode().split("\n")[:-1]
    assert len(lines) == 2 * len(captions)
    return [
        [token for token in line.rstrip().split(" ") if token and token not in DROPPED]
        for line in lines[::2]
    ]


needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no java on the PATH")


@needs_java
def test_agrees_with_java_on_real_captions():
    captions = flickr_captions()
    assert [tokenize(caption) for caption in captions] == java_tokens(captions)


@needs_java
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_java_on_random_captions(seed):
    draw = random.Random(seed)
    glue = [" "] * 8 + ["", "", "", ", ", ".", "-", "'", "/"]
    # an open tag or quote would run on into the next caption
    pieces = [piece for piece in PIECES if not set(piece) & set('<>"=')]
    captions = [
        "".join(draw.choice(pieces) + draw.choice(glue) for _ in range(draw.randint(1, 8)))
        for _ in range(2000)
    ]
    for caption, expected in zip(captions, java_tokens(captions), strict=True):
        assert tokenize(caption) == expected, caption
