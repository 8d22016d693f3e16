"""Read the keys of a component from its source without importing it: names, types, defaults.

User components are read in the same way, from wherever Python would find their module.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from mmtx_cli.config.introspect import PACKAGE, TargetError, origin_of

Source = tuple[str, ast.Module, ast.ClassDef]
"""Name of a module, its syntax tree, and a class in it."""


@dataclass(frozen=True)
class Argument:
    """An argument of a class; ``default`` is None if it is required.

    ``value`` is the default itself if it is a literal, else its source text.
    """

    name: str
    kind: str
    default: str | None
    value: Any = None


@dataclass(frozen=True)
class Component:
    """Docstrings, with their markup, and arguments of a class."""

    about: str
    arguments: list[Argument]
    details: str


def read_component(target: str) -> Component:
    """Read the class at a dotted path.

    Raises:
        TargetError: if it is not found.
    """
    classes = list(lineage(target))
    about = ast.get_docstring(classes[0][2]) or ""
    for module, tree, node in classes:
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                found = list(arguments(item.args, module, tree))
                return Component(about, found, ast.get_docstring(item) or "")
    return Component(about, [], "")


def lineage(target: str) -> Iterator[Source]:
    """Yield a class and its base classes, as far as their sources are found."""
    module, _, name = target.rpartition(".")
    path = module_file(module)
    if path is None:
        raise TargetError(f"module {module} not found")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        raise TargetError(f"{module} has no class {name!r}")
    yield module, tree, classes[name]
    for base in classes[name].bases:
        origin = origin_of(tree, module, getattr(base, "id", ""))
        if origin is not None and module_file(origin.rpartition(".")[0]) is not None:
            yield from lineage(origin)


def module_file(module: str) -> Path | None:
    """Return the file of a module, without importing it, or None.

    It is searched for as Python does, starting with the working directory.
    """
    top, *names = module.split(".")
    if top == PACKAGE.name:
        folders = [str(PACKAGE)]
    else:
        spec = PathFinder.find_spec(top, [str(Path.cwd()), *sys.path])
        if spec is None:
            return None
        if not names and spec.origin and spec.origin.endswith(".py"):
            return Path(spec.origin)
        folders = list(spec.submodule_search_locations or ())
    for folder in folders:
        path = Path(folder, *names)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if names and file.is_file():
                return file
    return None


def arguments(args: ast.arguments, module: str, tree: ast.Module) -> Iterator[Argument]:
    """Yield the named arguments except ``self``, with types and defaults in command-line syntax."""
    positional = [*args.posonlyargs, *args.args]
    none: list[ast.expr | None] = [None]
    padded = none * (len(positional) - len(args.defaults)) + list(args.defaults)
    pairs = [*zip(positional, padded, strict=True)][1:]
    for arg, default in [*pairs, *zip(args.kwonlyargs, args.kw_defaults, strict=True)]:
        kind = kind_in_words(ast.unparse(arg.annotation)) if arg.annotation else ""
        if default is None:
            yield Argument(arg.arg, kind, None)
        else:
            value = plain_value(default, module, tree)
            yield Argument(arg.arg, kind, format_value(value), value)


def plain_value(default: ast.expr, module: str, tree: ast.Module) -> Any:
    """Return the value of a default: a literal, a constant of its module, or its source text."""
    try:
        return ast.literal_eval(default)
    except ValueError:
        pass
    value = constant(default.id, module, tree) if isinstance(default, ast.Name) else None
    return ast.unparse(default) if value is None else value


def constant(name: str, module: str, tree: ast.Module) -> object:
    """Return the literal value of a name in a module, following imports, or None."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == name for t in targets):
            try:
                return ast.literal_eval(node.value)
            except ValueError:
                return None
    origin = (origin_of(tree, module, name) or "").rpartition(".")[0]
    path = module_file(origin) if origin and origin != module else None
    return constant(name, origin, ast.parse(path.read_text("utf-8"))) if path else None


def kind_in_words(annotation: str) -> str:
    """Return a type in words, e.g. ``list of int or null``."""
    text = re.sub(r"\b(?:Sequence|list|tuple)\[([^\[\]]+)\]", r"list of \1", annotation)
    text = re.sub(r"\bdict\[.*?\]", "mapping", text)
    return text.replace("None", "null").replace(" | ", " or ")


def format_value(value: Any) -> str:
    """Format a value as on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(format_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{k}: {format_value(v)}' for k, v in value.items())}}}"
    return str(value) or "''"


def strip_markup(text: str | None) -> str:
    """Remove the markup of a docstring for the terminal."""
    return (text or "").replace("``", "")
