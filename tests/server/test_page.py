"""The page in a browser: a file is dropped, its caption read."""

import pytest

from .browser import browser

CARD = "document.querySelector('article')"
DONE = f"{CARD} && !document.querySelector('.progress')"
EXPLAINED = f"{CARD}?.classList.contains('explained')"


@pytest.fixture
def tab(server, tmp_path):
    with browser(tmp_path / "profile") as tab:
        tab.open(f"http://127.0.0.1:{server.port}/")
        tab.until("!document.getElementById('about').hidden")
        yield tab


def test_a_dropped_picture_gets_a_caption(tab, server, media):
    expected = server.caption((media / "0.png").read_bytes(), name="0.png")[1]["caption"]
    tab.drop(media / "0.png", "#drop")
    tab.until(DONE)
    words = tab.run("[...document.querySelectorAll('.word b')].map((word) => word.textContent)")
    assert " ".join(words) == " ".join(expected.split())
    shares = tab.run("[...document.querySelectorAll('.word small')].map((x) => x.textContent)")
    assert len(shares) == len(words)
    assert all(share.endswith(" %") for share in shares)
    assert tab.run("document.getElementById('status').textContent").endswith(expected)
    assert tab.run("document.querySelector('.stage img').naturalHeight") == 70
    tab.until(EXPLAINED)
    assert tab.problems() == []


def test_a_word_shows_where_the_model_looks(tab, media):
    tab.drop(media / "1.png", "#drop")
    tab.until(EXPLAINED)
    mapped = "document.querySelector('.media').classList.contains('mapped')"
    assert not tab.run(mapped)
    x, y = tab.center("button.word")
    tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    tab.until(mapped)
    canvas = "document.querySelector('.stage canvas')"
    assert tab.run(f"{canvas}.width") == 32
    largest = f"Math.max(...{canvas}.getContext('2d').getImageData(0, 0, 32, 32).data)"
    assert tab.run(largest) == 255
    tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    tab.until(f"!{mapped}")


def test_it_works_without_a_mouse(tab, media):
    tab.key("Tab", 9)
    assert tab.run("document.activeElement.id") == "file"
    node = tab.call("Runtime.evaluate", expression="document.getElementById('file')")
    file = {"files": [str(media / "2.png")], "objectId": node["result"]["objectId"]}
    tab.call("DOM.setFileInputFiles", **file)
    tab.until(EXPLAINED)
    tab.run("document.querySelector('summary').focus()")
    tab.key("Tab", 9)
    label = tab.run("document.activeElement.getAttribute('aria-label')")
    assert "probability" in label
    assert "relevance: image 100 %" in label
    assert tab.run("document.querySelector('.media').classList.contains('mapped')")


def test_names_and_captions_are_text(tab, media, tmp_path):
    evil = tmp_path / "<img src=x onerror=alert(1)>.png"
    evil.write_bytes((media / "3.png").read_bytes())
    tab.drop(evil, "#drop")
    tab.until(DONE)
    tab.until(EXPLAINED)
    assert tab.run(f"{CARD}.querySelector('h2').textContent") == evil.name
    row = "{caption: '<b>x</b>', score: -1, words: [{word: '<b>x</b>', probability: 0.5}]}"
    tab.run(f"{CARD}.querySelector('.caption').replaceChildren(); showCaption({CARD}, {row})")
    assert tab.run(f"{CARD}.querySelector('.word b').textContent") == "<b>x</b>"
    assert tab.problems() == []


def test_errors_are_shown(tab, server, media, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    tab.drop(tmp_path / "text.png", "#drop")
    error = "document.querySelector('article .error').textContent"
    assert "known format" in tab.until(error)
    (tmp_path / "large.png").write_bytes(bytes(2_000_000))
    before = server.health()["answered"]
    tab.drop(tmp_path / "large.png", "#drop")
    assert "at most 1 MB" in tab.until(f"{error}.includes('at most') && {error}")
    assert server.health()["answered"] == before


def test_a_film_shows_the_frames_that_were_read(tab, media):
    tab.drop(media / "film.mp4", "#drop")
    tab.until(EXPLAINED)
    assert tab.run("document.querySelectorAll('.frames img').length") > 1
    tab.run("document.querySelector('button.word').focus()")
    assert tab.run("document.querySelector('.frames canvas').width") == 32
    assert tab.problems() == []
