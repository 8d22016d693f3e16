"""mmtx: train, compare and use multimodal transformers without writing code.

From Python, ``mmtx_cli.load`` loads a trained model: see docs/python.md.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would delay every command
    from typing import Any

    from mmtx_cli.api.load import load
    from mmtx_cli.api.model import Model
    from mmtx_cli.api.rows import Caption, Explained, Word

__version__ = "0.1.0"
__all__ = ["Caption", "Explained", "Model", "Word", "__version__", "load"]

_LAZY = {
    "load": "mmtx_cli.api.load",
    "Model": "mmtx_cli.api.model",
    "Caption": "mmtx_cli.api.rows",
    "Explained": "mmtx_cli.api.rows",
    "Word": "mmtx_cli.api.rows",
}
"""Modules of the names that are imported when they are used: they import torch."""


def __getattr__(name: str) -> "Any":
    """Import a part of the Python API."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
