"""MkDocs hooks: add the generated pages to the site and to its navigation."""

import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from docs.site import api, reference  # noqa: E402

GENERATED = {"reference": reference, "api": api}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace the folders of generated pages in the navigation by the pages."""
    config.nav = [entry_with_pages(entry) for entry in config.nav or []]
    config.watch += [str(ROOT / "conf"), str(ROOT / "mmtx_cli" / "config")]
    return config


def entry_with_pages(entry: Any) -> Any:
    """Return an entry of the navigation, with the pages of a folder such as ``reference/``."""
    if isinstance(entry, dict):
        ((title, target),) = entry.items()
        name = target.rstrip("/") if isinstance(target, str) else ""
        if name in GENERATED and target.endswith("/"):
            return {title: GENERATED[name].navigation()}
    return entry


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and CONTRIBUTING.md, which stands outside of docs."""
    made = {path: text for module in GENERATED.values() for path, text in module.pages().items()}
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    made["contributing.md"] = contributing.replace("](docs/", "](")
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files
