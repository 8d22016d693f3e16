"""``mmtx <command> --help``: the groups it composes and the settings it knows."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import MISSING, fields

from mmtx_cli import settings
from mmtx_cli.check import subsections
from mmtx_cli.override import choices, conf_dir, group_names, root_keys

TRAINING = ("pretrain", "finetune")
EXAMPLES = {
    "pretrain": "mmtx pretrain data.path=pairs.jsonl data.text=captions encoder/text=transformer "
    "encoder/image=vit head=contrastive",
    "finetune": "mmtx finetune ckpt=runs/pretrain/RUN data.path=pairs.jsonl head=captioning",
    "eval": "mmtx eval ckpt=runs/finetune/RUN data.path=pairs.jsonl",
    "caption": "mmtx caption ckpt=runs/finetune/RUN inputs='photos/*.jpg'",
    "score": "mmtx score references=captions.json predictions=results.json",
    "data": "mmtx data action=make name=scenes out=scenes",
    "demo": "mmtx demo",
    "export": "mmtx export ckpt=runs/finetune/RUN out=my_model",
}


def print_usage(command: str) -> None:
    """Print everything a command can be told."""
    print(f"usage: mmtx {command} [group=choice] [key=value] ...")
    if command in EXAMPLES:
        print(f"\nexample: {EXAMPLES[command]}")
    if command in TRAINING:
        print("\nGroups")
        for group in group_names():
            print(f"  {group}={'|'.join(choices(group))}")
    print(f"\nKeys (with their defaults and comments: {conf_dir() / f'{command}.yaml'})")
    print(f"  {', '.join(root_keys(command))}")
    if command in (*TRAINING, "eval"):
        for name, schema in settings.SECTIONS.items():
            print(f"\n{schema.__doc__}")
            for line in setting_lines(name, schema):
                print(f"  {line}")


def setting_lines(path: str, schema: type) -> Iterator[str]:
    """One line a setting: its path, its default, what it is."""
    about = attribute_docs(schema)
    sections = subsections(schema)
    for field in fields(schema):
        key = f"{path}.{field.name}"
        if field.name in sections:
            yield from setting_lines(key, sections[field.name])
            continue
        made = field.default_factory is not MISSING
        default = field.default_factory() if made else field.default  # type: ignore[misc,operator]
        shown = (
            "null"
            if default is None
            else str(default).lower()
            if isinstance(default, bool)
            else default
        )
        yield f"{key}={shown}" + (f"    {about[field.name]}" if field.name in about else "")


def attribute_docs(schema: type) -> dict[str, str]:
    """The string below each field."""
    node = ast.parse(inspect.getsource(schema)).body[0]
    assert isinstance(node, ast.ClassDef)
    docs, last = {}, None
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            last = item.target.id
        elif last and isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
            docs[last] = " ".join(str(item.value.value).split())
    return docs
