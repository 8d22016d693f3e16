"""Pages of the Python reference: one a package, filled by mkdocstrings from the sources."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = "api"
PACKAGES = {
    "api": "The Python API: load a trained model and use it.",
    "encoder": "Encoders: raw input of one modality to tokens.",
    "fusion": "Fusions: the tokens of all modalities to fused tokens.",
    "head": "Heads: losses, predictions and metrics.",
    "layer": "Building blocks that components share.",
    "metric": "Metrics: numbers from predictions.",
    "generation": "Decoding of generated text.",
    "explanation": "Where a model sees the words that it generates.",
}
RARELY_MEANT = "---\nsearch:\n  boost: 0.3\n---\n\n"
"""Other pages come first in the results of a search."""

INDEX = """# Python reference

What you need to [add a component](../adding.md). A component is a subclass of one of three classes:

| class | input | output |
| --- | --- | --- |
| [`Encoder`][mmtx_cli.encoder.base.Encoder] | the `Field` of one modality | `Tokens` |
| [`Fusion`][mmtx_cli.fusion.base.Fusion] | the `Streams` of all modalities | with `fused` |
| [`Head`][mmtx_cli.head.base.Head] | `Streams` and the `Batch` | a `Prediction` |

"""


def pages() -> dict[str, str]:
    """Return the Markdown of each page by its path."""
    made = {f"{FOLDER}/index.md": RARELY_MEANT + INDEX + directives(["mmtx_cli.types"], "Types")}
    for package, about in PACKAGES.items():
        found = modules(package)
        made[f"{FOLDER}/{package}.md"] = (
            f"{RARELY_MEANT}# mmtx_cli.{package}\n\n{about}\n\n"
            + "\n".join(directives([name], name.removeprefix("mmtx_cli.")) for name in found)
        )
    return made


def navigation() -> list[dict[str, str]]:
    """Return the part of the navigation that lists these pages."""
    listed = [{f"mmtx_cli.{package}": f"{FOLDER}/{package}.md"} for package in PACKAGES]
    return [{"Overview and types": f"{FOLDER}/index.md"}, *listed]


def modules(package: str) -> list[str]:
    """Return the modules of a package that define something, ``base`` first."""
    folder = ROOT / "mmtx_cli" / package
    files = (path for path in folder.rglob("*.py") if path.stem != "__init__")
    names = sorted(files, key=lambda path: (path != folder / "base.py", str(path)))
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in names]


def directives(names: list[str], title: str) -> str:
    """Return a heading, and what mkdocstrings replaces by the members of modules."""
    return f"## {title}\n\n" + "".join(f"::: {name}\n\n" for name in names)
