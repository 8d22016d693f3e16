"""The signature of a component, read from its source: nothing is imported, torch least of all."""

import ast
import importlib
import inspect
from pathlib import Path

PACKAGE = Path(__file__).parent
EMPTY = inspect.Parameter.empty


class TargetError(LookupError):
    """A ``_target_`` that names nothing."""


def signature_of(target: str, trusted: tuple[str, ...] = ()) -> inspect.Signature:
    """Parameters of the class or function that a dotted path names.

    A path in a trusted package of the user's is imported; one in mmtx is read from the source.
    Raises TargetError if there is no such thing, and for anything else that is not trusted.
    """
    if target.startswith("mmtx_cli."):
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
    except (ImportError, AttributeError, ValueError) as error:
        raise TargetError(f"{target!r} cannot be imported: {error}") from error


def class_source(target: str) -> tuple[ast.Module, ast.ClassDef]:
    """Parsed module and class of a path inside mmtx."""
    module, _, name = target.rpartition(".")
    path = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if not path.is_file():
        raise TargetError(f"there is no module {module}")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        raise TargetError(f"{module} has no class {name!r} (it has {', '.join(classes)})")
    return tree, classes[name]


def own_parameters(target: str) -> list[inspect.Parameter]:
    """Parameters of ``__init__``, the class' own or inherited, without ``self``."""
    tree, node = class_source(target)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return parameters(item.args)
    for base in node.bases:
        origin = imported_from(tree, base.id) if isinstance(base, ast.Name) else None
        if origin is not None and origin.startswith("mmtx_cli."):
            return own_parameters(origin)
    return []


def imported_from(tree: ast.Module, name: str) -> str | None:
    """Dotted path of a name that a module imports."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any(a.name == name for a in node.names):
            return f"{node.module}.{name}"
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
    """Value of a literal class attribute, or None where there is none."""
    _, node = class_source(target)
    for item in node.body:
        if (
            isinstance(item, ast.AnnAssign)
            and getattr(item.target, "id", None) == name
            and item.value
        ):
            return ast.literal_eval(item.value)
    return None
