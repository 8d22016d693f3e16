"""``mmtx data action=import``: convert public data set formats to manifests.

The importer NAME is the function ``read`` of the module ``mmtx_cli.data.importer.NAME``, which
converts the settings of ``conf/importer/NAME.yaml``.
"""

import os
import sys
from importlib import import_module
from pathlib import Path

from mmtx_cli.data.importer.found import Found
from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.importer.rows import keep_together, list_missing, with_changed_paths, with_files
from mmtx_cli.data.manifest.dataset_card import card_path, read_card
from mmtx_cli.data.manifest.option_names import IMPORT_KEYS
from mmtx_cli.data.manifest.read import read_manifest, row_faults
from mmtx_cli.data.manifest.summary import summarize
from mmtx_cli.data.manifest.writer import base_folder, write_manifest
from mmtx_cli.errors import ConfigError, DataError, truncate
from mmtx_cli.io.console import make_console
from mmtx_cli.io.quoting import argument


def import_(settings: Settings) -> Path:
    """Validate all imported rows, write them as a manifest, and print a summary."""
    out = Path(settings["out"])
    if out.suffix != ".jsonl":
        raise ConfigError(f"out={out}: must be a .jsonl manifest, e.g. out={out / 'data.jsonl'}")
    if settings["missing"] not in ("error", "skip"):
        raise ConfigError(f"missing={settings['missing']}: must be error, or skip to skip rows")
    importer = import_module(f"mmtx_cli.data.importer.{settings['importer']}")
    found: Found = importer.read(settings)
    with found.staging.removed():
        home = _write(settings, found, out)
    manifest = read_manifest(
        out, root=home, check_files=False, allow_outside_root=settings["allow_outside_root"]
    )
    make_console(soft_wrap=True).print(summarize(manifest))
    if manifest.card.root is not None:  # readers reject a card root outside the manifest's folder
        print(
            f"the files are in {home}, outside the folder of {out}; read it with "
            f"{argument('data.root', home)}",
            file=sys.stderr,
        )
    return out


def _write(settings: Settings, found: Found, out: Path) -> Path:
    """Read all rows and, if none has a fault, write the manifest and its files.

    Returns the folder that the manifest's paths are relative to.
    """
    common_folder = os.path.commonpath([os.path.abspath(folder) for folder in found.folders])
    root, allowed = settings["root"] or common_folder, settings["allow_outside_root"]
    rows = [(place, with_changed_paths(row)) for place, row in found.rows]
    missing: list[str] = []
    total = len(rows)
    if settings["missing"] == "skip":
        rows, missing = with_files(rows)
    if isinstance(settings.get("split"), dict):
        keep_together([row for _, row in rows])
    card, placed = read_card(card_path(out)), found.staging.placed
    home = base_folder(out, root)
    if faults := row_faults(rows, home, card, IMPORT_KEYS, allowed):
        raise DataError(*map(placed, truncate(faults)))
    with found.staging.in_place():
        write_manifest(out, (with_changed_paths(row, placed) for _, row in rows), root=root)
    list_missing(missing, total, out)
    return home
