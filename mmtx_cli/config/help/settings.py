"""List the settings of the plain sections for ``--help``."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

from mmtx_cli.config.cross_checks import CACHING, TRAINING
from mmtx_cli.config.help.components import format_value, strip_markup
from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.config.validate import list_fields, subsections

Row = tuple[str, str]
"""``key=default`` and its description."""

DEVICES = ("accelerator", "devices", "num_nodes", "strategy", "precision")
READING = (
    "text",
    "resize_mode",
    "max_patches",
    "frame_sampling",
    "fps",
    "decode_timeout",
    "max_image_pixels",
)
LOADING = ("batch_size", "eval_batch_size", "num_workers")
SOURCE = (
    "path",
    "root",
    "split",
    "allow_outside_root",
    "limit_samples",
    "max_unreadable_fraction",
    "mixture",
    "cache",
)
MANIFEST = SOURCE[:5]
GENERATION = tuple(field.name for field in fields(GenerationSettings))
USED = {
    "eval": {"data": (*SOURCE, *READING, *LOADING), "trainer": DEVICES, "generation": GENERATION},
    "predict": {
        "data": (*MANIFEST, *READING, *LOADING),
        "trainer": DEVICES,
        "generation": GENERATION,
    },
    "caption": {"data": (*READING[1:], *LOADING), "trainer": DEVICES, "generation": GENERATION},
}
"""Settings that apply to commands that do not train."""
TOKENIZER = ("tokenizer", "tokenizer_vocab_size", "lowercase")
CACHED = {"data": (*SOURCE[:-1], *READING, *LOADING, *TOKENIZER), "trainer": DEVICES[:1]}
"""Settings that apply to ``mmtx data action=cache``."""
MODEL_DEFAULTS = dict.fromkeys(READING[:5], "the model's setting") | {
    "path": "the model's training data",
    **dict.fromkeys(SOURCE[1:4], "as in training, if data.path is not set"),
}
"""Settings whose defaults come with the model; the data itself only for ``mmtx eval``."""


def section_rows(command: str, path: str, schema: type, values: Mapping[str, str]) -> Iterator[Row]:
    """Yield ``path=default`` and the description of each setting that a command reads.

    Args:
        command: Name of the config.
        path: Config path of the section.
        schema: Its settings class.
        values: Values that replace defaults, by config path.
    """
    used = CACHED if command == CACHING else USED.get(command, {})
    all_used = command in TRAINING or path.endswith("]")
    used_names = None if all_used else used.get(path, ())
    if used_names == ():
        return
    about = attribute_docs(schema)
    sections = subsections(schema)
    for field in fields(schema):
        key = f"{path}.{field.name}"
        if used_names is not None and field.name not in used_names:
            continue
        has_factory = field.default_factory is not MISSING
        default: Any = field.default_factory() if has_factory else field.default  # type: ignore[misc,operator]
        if field.name in list_fields(schema):
            yield f"{key}={values.get(key, 'null')}", about.get(field.name, "")
            yield from section_rows(command, f"{key}[i]", sections[field.name], values)
        elif field.name in sections:
            inner = sections[field.name]
            if default is None:
                doc = " ".join(strip_markup(inner.__doc__).partition(": ")[2].split())
                description = (
                    f"{doc[:1].upper()}{doc[1:]} Enabled by setting any of its keys.".lstrip()
                )
                yield f"{key}={values.get(key, 'null')}", description
            yield from section_rows(command, key, inner, values)
        elif origin := model_default(command, path, field.name):
            yield key, f"{about.get(field.name, '')} Default: {origin}.".lstrip()
        else:
            yield f"{key}={values.get(key, format_value(default))}", about.get(field.name, "")


def model_default(command: str, path: str, name: str) -> str | None:
    """Return where the default of a setting is from if it comes with the trained model."""
    if command not in USED or path not in ("data", "generation"):
        return None
    if path == "generation":
        return MODEL_DEFAULTS["resize_mode"]
    return MODEL_DEFAULTS.get(name) if command == "eval" or name in READING else None


def attribute_docs(schema: type) -> dict[str, str]:
    """Return the string below each field, by name."""
    node = ast.parse(inspect.getsource(schema)).body[0]
    assert isinstance(node, ast.ClassDef)
    docs, last = {}, None
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            last = item.target.id
        elif last and isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
            docs[last] = " ".join(str(item.value.value).split())
    return docs
