"""``mmtx <command> --help``: all keys of a command with their defaults.

Everything is read as text from the YAML files and the sources, without Hydra or torch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mmtx_cli.config.conf_tree import (
    ACTIONS,
    MISSING,
    ROOT_GROUPS,
    choices,
    cli_name,
    conf_dir,
    config_dirs,
    config_name,
    default_groups,
    files,
    group_names,
    shipped,
)
from mmtx_cli.config.cross_checks import CACHING, TRAINING
from mmtx_cli.config.groups import (
    Choice,
    accepted_options,
    flatten,
    load_choices,
    selected_choices,
    selected_options,
    unknown_choice_fault,
)
from mmtx_cli.config.help.actions import action_rows
from mmtx_cli.config.help.components import Component, format_value, read_component, strip_markup
from mmtx_cli.config.help.settings import USED, Row, section_rows
from mmtx_cli.config.help.yaml_comments import Key, example_in, heading, keys
from mmtx_cli.config.introspect import TargetError
from mmtx_cli.config.overrides import SECTIONS as NODES
from mmtx_cli.config.schema import FILLED, SECTIONS
from mmtx_cli.config.validate import PROVIDED

EXAMPLES = {
    "pretrain": "mmtx pretrain data.path=pairs.jsonl data.text=captions encoder/text=transformer "
    "encoder/image=vit head=contrastive",
    "finetune": "mmtx finetune ckpt=runs/pretrain/RUN data.path=pairs.jsonl head=captioning",
    "eval": "mmtx eval ckpt=runs/finetune/RUN data.path=pairs.jsonl",
    "caption": "mmtx caption ckpt=runs/finetune/RUN inputs='photos/*.jpg'",
    "predict": "mmtx predict ckpt=runs/finetune/RUN inputs='photos/*.jpg'",
    "compare": "mmtx compare sweep=fusions \"train_args=['experiment=avdigits']\" seeds=[1,2,3]",
    "score": "mmtx score references=captions.json predictions=results.json",
    "demo": "mmtx demo",
    "export": "mmtx export ckpt=runs/finetune/RUN out=my_model",
}
WITH_CKPT = """
The components of the model and their keys are loaded from ckpt=. To change a key for this run,
set it, e.g. decoder.dtype=float32; `mmtx finetune head=captioning --help` lists the keys of
head=captioning."""


WITH_OPTIONS = ("data_create", "data_import")
"""Configs that select from a group of ROOT_GROUPS."""


def print_usage(command: str, args: Sequence[str]) -> None:
    """Print the help of a command, for the options selected in ``args``."""
    dirs, command = config_dirs(args), config_name(command, args)
    if command in ACTIONS:
        print(f"usage: mmtx {command} action=NAME [key=value] ...\n")
        print("\n".join(action_rows(command)))
        return
    building_commands = (*TRAINING, CACHING)
    typed = [arg for arg in args if arg.partition("=")[0] in ROOT_GROUPS]
    has_groups = not typed and command in (*building_commands, "eval", *WITH_OPTIONS)
    words = [cli_name(command), *typed, *(["[group=choice]"] if has_groups else [])]
    print(f"usage: mmtx {' '.join(words)} [key=value] ...")
    shown = EXAMPLES.get(command) or example_of(typed[-1].replace("=", "/") if typed else command)
    if shown:
        print(f"\nexample: {shown}")
    for folder in dirs[1:]:
        if not folder.is_dir():
            print(f"\n--config-dir {folder}: folder not found")
    selected = list(selected_choices(selected_options(command, args, dirs), dirs))
    values = dict(experiment_values(selected))
    if has_groups:
        print_table("Groups", group_rows(command, dirs))
    print_table("Keys", root_rows(command, values))
    if command in building_commands:
        print_components(command, selected, values, dirs)
    elif command in WITH_OPTIONS:
        print_options(selected, bool(typed), command)
    elif command in USED:
        print(WITH_CKPT)
        for choice in selected:
            if choice.group == "head" and not choice.missing:
                print_component(choice, values)
    for name, schema in SECTIONS.items():
        rows = list(section_rows(command, name, schema, values))
        if rows:
            print_table(strip_markup(schema.__doc__), rows)


def example_of(name: str) -> str:
    """Return the example command in one of our files, or ""."""
    path = conf_dir() / f"{name}.yaml"
    return example_in(path.read_text(encoding="utf-8")) if path.is_file() else ""


def print_table(title: str, rows: Iterable[Row]) -> None:
    """Print a title and two-column rows, one line each so that grep finds all of it."""
    print(f"\n{title}")
    for left, right in rows:
        print(f"  {left:<42}  {right}".rstrip())


def experiment_values(chosen: Sequence[Choice]) -> Iterator[tuple[str, str]]:
    """Yield (path, value) for everything that selected experiments and plain options set."""
    for choice in chosen:
        if choice.group == "experiment" or "_target_" not in choice.content:
            place = "" if choice.place == "_global_" else f"{choice.place}."
            for path, value in flatten(choice.content, place):
                if path.rpartition(".")[2] != "defaults":
                    yield path, format_value(value)


def group_rows(command: str, dirs: Sequence[Path]) -> Iterator[Row]:
    """Yield each group with its options, then the heading of each option's file."""
    defaults = default_groups(command)
    for group in [*defaults, *sorted(set(group_names(dirs)) - set(group_names()))]:
        names = accepted_options(group, command, dirs)
        if names:
            yield f"{'' if group in defaults else '+'}{group}={'|'.join(names)}", ""
        for choice in load_choices([group], names, dirs):
            files = [folder / group / f"{choice.name}.yaml" for folder in dirs]
            about = heading(next(f for f in files if f.is_file()).read_text(encoding="utf-8"))
            if about:
                yield f"  {choice.name}", about


def root_rows(command: str, values: Mapping[str, str]) -> Iterator[Row]:
    """Yield the root keys with the values and comments of the YAML files."""
    for key in root_keys(command):
        yield from ((f"# {line}", "") for line in key.above)
        value = values.get(key.path, key.value).replace("${command}", command)
        yield f"{key.path}={'(required)' if value == MISSING else value}", key.comment


def option_rows(choice: Choice) -> Iterator[Row]:
    """Yield the root keys of an option that has such, with their comments."""
    path = conf_dir() / choice.group / f"{choice.name}.yaml"
    for key in keys(path.read_text(encoding="utf-8")) if path.is_file() else ():
        if key.path not in (choice.group, "defaults"):
            yield from ((f"# {line}", "") for line in key.above)
            yield f"{key.path}={'(required)' if key.value == MISSING else key.value}", key.comment


def root_keys(command: str) -> Iterator[Key]:
    """Yield the keys of a command's own file, then those of the files it shares with others."""
    skipped = {"command", "defaults", "hydra", *NODES, *FILLED}
    skipped |= {"run_dir", "resume"} if command == CACHING else set()  # a cache has its own folder
    for name in files(command):
        for key in keys((conf_dir() / f"{name}.yaml").read_text(encoding="utf-8")):
            if key.path.split(".")[0] not in skipped:
                yield key
        skipped |= set(shipped(name))


def print_options(chosen: Sequence[Choice], typed: bool, command: str) -> None:
    """Print the keys of the selected importer or data set, or how to list them."""
    for choice in chosen:
        if choice.missing:
            print(f"\n{unknown_choice_fault(choice, [conf_dir()])}")
        elif choice.group in ROOT_GROUPS and (rows := list(option_rows(choice))):
            print_table(f"Keys of {choice.group}={choice.name}", rows)
    if not typed:
        (group,) = default_groups(command)
        print(f"\nTo list the keys of one {group}, select it, for example:")
        print(f"  mmtx {cli_name(command)} {group}={choices(group)[0]} --help")


def print_components(
    command: str, chosen: Sequence[Choice], values: Mapping[str, str], dirs: Sequence[Path]
) -> None:
    """Print the keys of each selected component, and how to list those of others.

    Args:
        command: Name of the config.
        chosen: The selected options.
        values: Values that replace defaults, by config path.
        dirs: The config folders.
    """
    for choice in chosen:
        if choice.missing:
            print(f"\n{unknown_choice_fault(choice, dirs)}")
        elif "_target_" in choice.content:
            print_component(choice, values)
    print("\nTo list the keys of an encoder, fusion, head or experiment, select it, for example:")
    print(f"  mmtx {cli_name(command)} head=captioning encoder/image=vit --help")


def print_component(choice: Choice, values: Mapping[str, str]) -> None:
    """Print the keys of a component with its docstrings."""
    title = f"{choice.place}: keys of {choice.group}={choice.name}"
    try:
        component = read_component(str(choice.content["_target_"]))
    except TargetError as error:
        print(f"\n{title}\n  {choice.content['_target_']}: {error}")
        return
    print_table(title, component_rows(choice, component, values))
    for text in filter(None, map(strip_markup, (component.about, component.details))):
        print("\n".join(f"    {line}".rstrip() for line in ["", *text.splitlines()]))


def component_rows(
    choice: Choice, component: Component, values: Mapping[str, str]
) -> Iterator[Row]:
    """Yield ``path=default`` and the type of each key of a component."""
    provided = PROVIDED.get(choice.place.split(".")[0], ())
    for argument in component.arguments:
        path = f"{choice.place}.{argument.name}"
        value = values.get(path, value_of(choice, argument.name, argument.default))
        if value is not None and argument.name not in provided:
            yield f"{path}={value}", argument.kind


def value_of(choice: Choice, name: str, default: str | None) -> str | None:
    """Return the default of a component's key, or None if users do not set it."""
    if any(part.endswith(f"@{choice.place}.{name}") for part in choice.parts):
        return None  # a nested component, whose keys are listed separately
    if name in choice.content:
        value = format_value(choice.content[name])
        return None if value.strip("${}").split(".")[0] in FILLED else value
    return "(required)" if default is None else default
