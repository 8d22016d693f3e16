"""Read signatures of components from their source, without importing them or torch."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
EMPTY = inspect.Parameter.empty
HEAD_TRAITS = "mmtx_cli.head.traits.HeadTraits"


class TargetError(LookupError):
    """A ``_target_`` that does not exist or is not trusted."""


def signature_of(target: str, trusted: tuple[str, ...] = ()) -> inspect.Signature:
    """Return the signature of the class or function at a dotted path.

    A path in one of the user's trusted packages is imported; one in mmtx is read from the source.

    Raises:
        TargetError: if the path does not exist, or is neither in mmtx nor trusted.
    """
    if not all(part.isidentifier() for part in target.split(".")):
        raise TargetError(f"{target!r} is not the dotted path of a class")
    if target.startswith(f"{PACKAGE.name}."):
        return inspect.Signature(init_parameters(target))
    if any(target == name or target.startswith(f"{name}.") for name in trusted):
        return imported_signature(target)
    package = target.split(".")[0]
    raise TargetError(
        f"{target!r} is not part of mmtx; if you trust it, add trusted_packages=[{package}]"
    )


def imported_signature(target: str) -> inspect.Signature:
    """Import a trusted target and return its signature."""
    module, _, name = target.rpartition(".")
    try:
        return inspect.signature(getattr(importlib.import_module(module), name))
    except Exception as error:  # the user's module may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise TargetError(f"{target!r} cannot be imported: {reason}") from error


def class_source(target: str) -> tuple[ast.Module, ast.ClassDef]:
    """Return the parsed module and class at a path inside mmtx."""
    module, _, name = target.rpartition(".")
    package, *names = module.split(".")
    path = PACKAGE.joinpath(*names).with_suffix(".py")
    if package != PACKAGE.name or not path.is_file():
        raise TargetError(f"module {module} not found")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        raise TargetError(f"{module} has no class {name!r} (classes: {', '.join(classes)})")
    return tree, classes[name]


def lineage(target: str) -> Iterator[ast.ClassDef]:
    """Yield the class at a path inside mmtx, then its base classes inside mmtx."""
    tree, node = class_source(target)
    yield node
    for base in node.bases:
        origin = origin_of(tree, target.rpartition(".")[0], getattr(base, "id", ""))
        if origin is not None and origin.startswith(f"{PACKAGE.name}."):
            yield from lineage(origin)


def init_parameters(target: str) -> list[inspect.Parameter]:
    """Return the parameters of ``__init__``, own or inherited, without ``self``."""
    for node in lineage(target):
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                return parameters(item.args)
    return []


def origin_of(tree: ast.Module, module: str, name: str) -> str | None:
    """Return the dotted path of a class that a module imports or defines, or None."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any(a.name == name for a in node.names):
            return f"{node.module}.{name}"
        if isinstance(node, ast.ClassDef) and node.name == name:
            return f"{module}.{name}"
    return None


def parameters(args: ast.arguments) -> list[inspect.Parameter]:
    """Return the named parameters, with annotations as text and None in place of any default."""
    named_args = [*args.posonlyargs, *args.args][1:] + args.kwonlyargs
    offset = len(args.args) - 1 - len(args.defaults)
    found = []
    for i, arg in enumerate(named_args):
        positional = i < len(args.args) - 1
        has_default = (
            i >= offset if positional else args.kw_defaults[i - len(args.args) + 1] is not None
        )
        annotation = ast.unparse(arg.annotation) if arg.annotation else EMPTY
        found.append(
            inspect.Parameter(
                arg.arg,
                inspect.Parameter.KEYWORD_ONLY,
                default=None if has_default else EMPTY,
                annotation=annotation,
            )
        )
    return found


def class_constant(target: str, name: str) -> object:
    """Return a literal class attribute, own or inherited, or None if there is none."""
    value = class_attribute(target, name)
    return None if value is None else ast.literal_eval(value)


def class_trait(target: str, name: str) -> object:
    """Return a trait of a head class, or None if the class has no traits.

    It is a keyword of ``traits = HeadTraits(...)``, own or inherited, or else the trait's default.
    """
    value = class_attribute(target, "traits")
    if not isinstance(value, ast.Call):
        return None
    stated = {item.arg: item.value for item in value.keywords}
    return ast.literal_eval(stated[name]) if name in stated else class_constant(HEAD_TRAITS, name)


def class_attribute(target: str, name: str) -> ast.expr | None:
    """Return the expression of an annotated class attribute, own or inherited, or None."""
    for node in lineage(target):
        for item in node.body:
            named = isinstance(item, ast.AnnAssign) and getattr(item.target, "id", None) == name
            if named and item.value:  # type: ignore[attr-defined]
                return item.value  # type: ignore[attr-defined,no-any-return]
    return None
