"""Links within the documentation lead somewhere, and every page can be reached."""

import pytest
import yaml

from docs.site import api, reference

from .pages import DOCS, PAGES, ROOT, anchors, blocks, links, name_of, prose

GENERATED = {f"docs/{path}": text for path, text in (reference.pages() | api.pages()).items()}
TEXTS = {name_of(page): page.read_text(encoding="utf-8") for page in PAGES} | GENERATED


def resolved(page, target):
    """Path in the repository that a relative link leads to."""
    parts = []
    for part in [*page.split("/")[:-1], *target.split("/")]:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def faults(page):
    for link in links(TEXTS[page]):
        path, _, anchor = link.partition("#")
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        target = resolved(page, path) if path else page
        if target not in TEXTS and not (ROOT / target).is_file():
            yield f"{page}: {link}: no such file"
        elif anchor and anchor not in anchors(TEXTS[target]):
            yield f"{page}: {link}: no such heading"
        elif page.startswith("docs/") and not target.startswith("docs/"):
            yield f"{page}: {link}: not on the site"


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_to_files_and_headings(page):
    assert list(faults(page)) == []


def paths(entries):
    for entry in entries:
        ((_, target),) = entry.items()
        yield from paths(target) if isinstance(target, list) else [target]


def test_every_page_is_in_the_navigation():
    config = yaml.safe_load((ROOT / ".mkdocs.yml").read_text(encoding="utf-8"))
    named = list(paths(config["nav"]))
    assert len(named) == len(set(named))
    written = {path.relative_to(DOCS).as_posix() for path in PAGES if DOCS in path.parents}
    assert {*named} == written | {"reference/", "api/", "contributing.md"}


def test_generated_pages_are_in_the_navigation():
    named = {*paths(reference.navigation()), *paths(api.navigation())}
    assert {f"docs/{path}" for path in named} == {*GENERATED}


def test_what_is_a_link_and_a_heading():
    text = "# A & b: `c_d=1`\n\n[x](y.md#z) `[not](this)` ![p](p.png)\n\n## Plain one { #own }\n"
    assert links(text) == ["y.md#z", "p.png"]
    assert anchors(text) == {"own"}  # the first has other names in other places
    assert anchors("## Two words\n```\n# comment\n```\n") == {"two-words"}
    assert "this" not in prose(text)
    (block,) = blocks("a\n\n<!-- not run: why -->\n```sh\nmmtx x\n```\n")
    assert (block.line, block.language, block.text) == (5, "sh", "mmtx x\n")
    assert block.mark == "not run: why"
