"""The signature of a component, read from its source: nothing is imported, torch least of all."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
EMPTY = inspect.Parameter.empty


class TargetError(LookupError):
    """A ``_target_`` that names nothing."""


def signature_of(target: str, trusted: tuple[str, ...] = ()) -> inspect.Signature:
    """Parameters of the class or function that a dotted path names.

    A path in a trusted package of the user's is imported; one in mmtx is read from the source.
    Raises TargetError if there is no such thing, and for anything else that is not trusted.
    """
    if not all(part.isidentifier() for part in target.split(".")):
        raise TargetError(f"{target!r} is no dotted path of a class")
    if target.startswith(f"{PACKAGE.name}."):
        return inspect.Signature(own_parameters(target))
    if any(target == name or target.startswith(f"{name}.") for name in trusted):
        return imported_signature(target)
    package = target.split(".")[0]
    raise TargetError(
        f"{target!r} is outside mmtx; if you trust it, add trusted_packages=[{package}]"
    )


def imported_signature(target: str) -> inspect.Signature:
    """Import a trusted target."""
    module, _, name = target.rpartition(".")
    try:
        return inspect.signature(getattr(importlib.import_module(module), name))
    except Exception as error:  # the user's module may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise TargetError(f"{target!r} cannot be imported: {reason}") from error


def class_source(target: str) -> tuple[ast.Module, ast.ClassDef]:
    """Parsed module and class of a path inside mmtx."""
    module, _, name = target.rpartition(".")
    package, *names = module.split(".")
    path = PACKAGE.joinpath(*names).with_suffix(".py")
    if package != PACKAGE.name or not path.is_file():
        raise TargetError(f"there is no module {module}")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        raise TargetError(f"{module} has no class {name!r} (it has {', '.join(classes)})")
    return tree, classes[name]


def lineage(target: str) -> Iterator[ast.ClassDef]:
    """The class that a path inside mmtx names, and the classes of mmtx that it inherits from."""
    tree, node = class_source(target)
    yield node
    for base in node.bases:
        origin = origin_of(tree, target.rpartition(".")[0], getattr(base, "id", ""))
        if origin is not None and origin.startswith(f"{PACKAGE.name}."):
            yield from lineage(origin)


def own_parameters(target: str) -> list[inspect.Parameter]:
    """Parameters of ``__init__``, the class' own or inherited, without ``self``."""
    for node in lineage(target):
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                return parameters(item.args)
    return []


def origin_of(tree: ast.Module, module: str, name: str) -> str | None:
    """Dotted path of a class that a module imports or defines."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any(a.name == name for a in node.names):
            return f"{node.module}.{name}"
        if isinstance(node, ast.ClassDef) and node.name == name:
            return f"{module}.{name}"
    return None


def parameters(args: ast.arguments) -> list[inspect.Parameter]:
    """Named parameters with their annotations as text; a default is only known to be there."""
    named = [*args.posonlyargs, *args.args][1:] + args.kwonlyargs
    offset = len(args.args) - 1 - len(args.defaults)
    kinds = []
    for i, arg in enumerate(named):
        positional = i < len(args.args) - 1
        has = i >= offset if positional else args.kw_defaults[i - len(args.args) + 1] is not None
        annotation = ast.unparse(arg.annotation) if arg.annotation else EMPTY
        kinds.append(
            inspect.Parameter(
                arg.arg,
                inspect.Parameter.KEYWORD_ONLY,
                default=None if has else EMPTY,
                annotation=annotation,
            )
        )
    return kinds


def class_constant(target: str, name: str) -> object:
    """Value of a literal class attribute, the class' own or inherited; None where there is none."""
    for node in lineage(target):
        for item in node.body:
            named = isinstance(item, ast.AnnAssign) and getattr(item.target, "id", None) == name
            if named and item.value:  # type: ignore[attr-defined]
                return ast.literal_eval(item.value)  # type: ignore[attr-defined]
    return None
