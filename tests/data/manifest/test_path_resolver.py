"""A locale may know one alphabet alone: a name beyond it is a fault, not a traceback."""

import os

import pytest

from mmtx_cli.data.manifest.option_names import IMPORT_KEYS
from mmtx_cli.data.manifest.path_resolver import Root
from tests.messages import mentions


@pytest.mark.parametrize("name", ["中.png", "a/é中.png", "../中", "\U0001f600"])
def test_a_name_that_the_locale_cannot_write(name, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsencode", lambda path: str(path).encode("latin-1"))
    root = Root(tmp_path, allow_outside=False, check_files=True, keys=IMPORT_KEYS)
    mentions(root.resolve(name)[1], "name", "locale")
    for known in ("é.png", "a.png"):
        mentions(root.resolve(known)[1], tmp_path / known, "images=")
