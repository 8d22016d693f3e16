"""docs/architecture.md describes the package layout, and the layout keeps its own rules."""

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mmtx_cli"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = sorted(PACKAGE.rglob("*.py"))
TOP = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
PACKAGES = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
MOST_FILES, MOST_ON_TOP = 20, 6
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 300, 60
UNUSUAL = re.compile(
    r"\b(tells?|told|hears?|anew|mend(s|ed)?|as it were|be had|there is no such|is none of)\b"
)
"""Words of the project's former dialect, which documentation in plain English does not need."""
TEMPLATE = re.compile(r"\b([XY]|NAME|MODALITY)\b")


def contract():
    with open(ROOT / "pyproject.toml", "rb") as file:
        (layers,) = (
            found
            for found in tomllib.load(file)["tool"]["importlinter"]["contracts"]
            if found["type"] == "layers"
        )
    return layers


def test_every_package_is_in_the_import_contract():
    named = {name for row in contract()["layers"] for name in re.split(r" [|:] ", row)}
    assert contract()["exhaustive"]
    assert named == PACKAGES | TOP


def test_the_page_lists_every_package():
    rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / "docs/architecture.md").read_text(), re.M)
    listed = {name for row in rows for name in re.findall(r"`(\w+)(?:/|\.py)`", row)}
    assert listed == PACKAGES | TOP


def test_folders_are_small():
    files = Counter(path.parent for path in MODULES)
    assert [str(folder) for folder, count in files.items() if count > MOST_FILES] == []
    assert len(TOP) <= MOST_ON_TOP


def longer(lengths, most):
    """Return what is longer than ``most`` lines and no exception, the longest first."""
    found = {name: n for name, n in lengths.items() if n > most}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def test_files_are_short():
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in MODULES
    }
    assert longer(lengths, MOST_LINES) == {}


def test_functions_are_short():
    """With their docstrings, without their decorators."""
    lengths: Counter[str] = Counter()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(PACKAGE)}: {node.name}"
                lengths[name] = max(lengths[name], node.end_lineno - node.lineno + 1)
    assert longer(lengths, MOST_LINES_OF_A_FUNCTION) == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    """Paths are given from the root or from the package."""
    text = page.read_text()
    names = re.findall(r"`([\w.]+/[\w/]+\.(?:py|yaml|md))\b", text)
    for name in [*names, *re.findall(r"`(tests/[\w/]+)[`:]", text)]:
        if TEMPLATE.search(name) or "my_" in name or page.name == "adding.md":
            continue  # files of a user's own
        assert (ROOT / name).exists() or (PACKAGE / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_in_plain_english(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.S)
    assert [found[0] for found in UNUSUAL.finditer(text)] == []


def test_configurations_name_classes_that_exist():
    targets = {
        target
        for path in (ROOT / "conf").rglob("*.yaml")
        for target in re.findall(r"_target_: (mmtx_cli\.[\w.]+)", path.read_text())
    }
    assert len(targets) > 30
    for target in targets:
        module, _, name = target.rpartition(".")
        source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
        assert re.search(rf"^(class|def) {name}\b", source, re.M), target
