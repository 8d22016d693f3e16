"""The site is built without a warning, and its reference has what the help has."""

import os
import re
import subprocess
import sys

import pytest

from docs.site import reference
from docs.site.markup import inline, paragraphs, table
from mmtx_cli.cli import main
from mmtx_cli.config.conf_tree import choices, cli_name, group_names

from .pages import ROOT

PAGES = reference.pages()


def keys_of(text):
    return set(re.findall(r"^<tr><td><code>([^<]+)</code>", text, re.M))


@pytest.mark.parametrize("name", reference.CONFIGS)
def test_a_command_has_the_keys_of_its_help(name, capsys):
    assert main([*cli_name(name).split(), "--help"]) == 0
    helped = capsys.readouterr().out
    found = keys_of(PAGES[reference.command_path(name)])
    if name in reference.TRAINING:  # links to the pages of the sections
        for section in reference.SECTIONS:
            found |= keys_of(PAGES[reference.group_path(section)].partition("## Keys")[2])
    listed = set(re.findall(r"^  ([a-z][\w.\[\]]*)(?:=|  |$)", helped, re.M))
    listed = {key for key in listed if key.split(".")[0] not in ("fusion", "head")}
    groups = {group for group in group_names() if "/" not in group}
    named = {choice for group in group_names() for choice in choices(group)}
    assert found - {"data.split"} <= listed
    assert listed - groups - named - {"mmtx"} <= found


@pytest.mark.parametrize("group", group_names())
def test_a_group_has_its_choices_and_their_keys(group, capsys):
    text = PAGES[reference.group_path(group)]
    for name in choices(group):
        assert f"{{ #{reference.anchor(name)} }}" in text
    if group.split("/")[0] in ("encoder", "fusion", "head"):
        name = choices(group)[0]
        assert main(["finetune", f"{group}={name}", "--help"]) == 0
        helped = capsys.readouterr().out
        place = group.replace("/", ".") if group != "head" else f"head.{name}"
        expected = set(re.findall(rf"^  ({re.escape(place)}\.\w+)=", helped, re.M))
        assert expected
        assert expected <= keys_of(text)


def test_markup():
    assert inline("a < b, `x<y` and ``z``") == "a &lt; b, <code>x&lt;y</code> and <code>z</code>"
    assert paragraphs("one\ntwo\n\nthree") == "<p>one two</p>\n\n<p>three</p>"
    whole = table(("a", "b"), [["1", ""], ["text"], ["2", ""]])
    assert "<th>b</th>" not in whole
    assert '<td colspan="1"><em>text</em></td>' in whole


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="pip install mmtx[docs]")
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "-f", str(ROOT / ".mkdocs.yml")]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "site")],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},  # as make docs; it advertises a successor
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    outside = re.findall(r'(?:src|href)="(https?://[^"]+)"', home)
    assert outside == []
    assert (tmp_path / "site" / "search" / "search_index.js").is_file()
    assert (
        "Encode a <code>ModalityInput</code>"
        in (tmp_path / "site" / "api" / "encoder.html").read_text()
    )
