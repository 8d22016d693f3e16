"""Pages of the reference: every command, group, choice and key, as ``--help`` lists them.

The rows come from the functions that print the help, so that both say the same.
"""

import inspect
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_type_hints

import yaml

from docs.site.markup import code, fence, inline, paragraphs, table
from mmtx_cli.cli import COMMANDS
from mmtx_cli.config.conf_tree import (
    ACTIONS,
    MISSING,
    choices,
    cli_name,
    conf_dir,
    default_groups,
    group_names,
)
from mmtx_cli.config.cross_checks import CACHING, TRAINING
from mmtx_cli.config.groups import Choice, accepted_options, load_choices
from mmtx_cli.config.help.command_help import (
    EXAMPLES,
    WITH_CKPT,
    WITH_OPTIONS,
    component_rows,
    example_of,
    root_keys,
)
from mmtx_cli.config.help.components import kind_in_words, read_component
from mmtx_cli.config.help.settings import USED, Row, section_rows
from mmtx_cli.config.help.yaml_comments import heading
from mmtx_cli.config.schema import SECTIONS
from mmtx_cli.config.validate import TYPES, list_fields, subsections

Pages = dict[str, str]
"""Markdown by path."""

FOLDER = "reference"
CONFIGS = [*COMMANDS, *(f"{name}_{action}" for name in ACTIONS for action in ACTIONS[name])]
BUILDING = (*TRAINING, CACHING)
"""Commands that choose the components of a model."""
KEYS = ("Key", "Type", "Default", "Description")


def pages() -> Pages:
    """Return all pages of the reference."""
    made_here = {f"{FOLDER}/index.md": index()}
    made_here |= {command_path(name): command_page(name) for name in CONFIGS}
    return made_here | {group_path(name): group_page(name) for name in groups()}


def navigation() -> list[dict[str, Any]]:
    """Return the part of the navigation that lists these pages."""
    commands = [{f"mmtx {cli_name(name)}": command_path(name)} for name in CONFIGS]
    return [
        {"Overview": f"{FOLDER}/index.md"},
        {"Commands": commands},
        {"Groups and sections": [{name: group_path(name)} for name in groups()]},
    ]


def groups() -> list[str]:
    """Return the groups of choices in the order of the help, then the sections without choices."""
    usual = [group for group in default_groups("finetune") if group in group_names()]
    return list(dict.fromkeys([*usual, *group_names(), *SECTIONS]))


def command_path(name: str) -> str:
    """Return the path of a command's page."""
    return f"{FOLDER}/commands/{name.replace('_', '-')}.md"


def group_path(name: str) -> str:
    """Return the path of the page of a group or section."""
    return f"{FOLDER}/groups/{name.replace('/', '-')}.md"


def page_name(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]


def index() -> str:
    """Return the overview of all commands and groups."""
    commands = [
        f"| [`mmtx {cli_name(name)}`](commands/{page_name(command_path(name))}) | {about(name)} |"
        for name in CONFIGS
    ]
    listed = [
        f"| [`{name}`](groups/{page_name(group_path(name))}) | {summary(name)} |"
        for name in groups()
    ]
    return "\n".join(
        [
            "# Reference",
            "",
            "Every command, group, choice and key of this version, as `mmtx COMMAND --help` lists "
            "them in the terminal. `group=choice` selects a component; `key=value` sets a key.",
            "",
            "## Commands",
            "",
            "| command | purpose |",
            "| --- | --- |",
            *commands,
            "",
            "## Groups and sections",
            "",
            "| name | contents |",
            "| --- | --- |",
            *listed,
            "",
        ]
    )


def about(command: str) -> str:
    """Return what a command does."""
    if command in COMMANDS:
        return COMMANDS[command]
    return heading((conf_dir() / f"{command}.yaml").read_text(encoding="utf-8"))


def summary(name: str) -> str:
    """Return the choices of a group, or what a section is about."""
    if name in group_names():
        return ", ".join(f"`{choice}`" for choice in choices(name))
    return inspect.getdoc(SECTIONS[name]).partition(": ")[2]  # type: ignore[union-attr]


def sentence(text: str) -> str:
    """Return a note as a sentence; one that begins with a key stays as it is."""
    first = text.split()[0].rstrip(":")
    return f"{text[:1].upper() if first.isalpha() else text[:1]}{text[1:].rstrip('.')}."


def command_page(name: str) -> str:
    """Return the page of a command."""
    grouped = name in (*BUILDING, "eval", *WITH_OPTIONS)
    usage = f"mmtx {cli_name(name)}{' [group=choice]' if grouped else ''} [key=value] ..."
    shown = EXAMPLES.get(name) or example_of(name)
    example = f"\n\n# example\n{shown}" if shown else ""
    parts = [f"# mmtx {cli_name(name)}", sentence(about(name)), fence(usage + example, "sh")]
    if grouped:
        parts += ["## Groups", group_table(name)]
    parts += ["## Keys", table(KEYS, root_key_rows(name))]
    if name in TRAINING:
        parts += ["## Sections", "All keys of these sections:", sections_list()]
    elif name == CACHING or name in USED:
        parts += [WITH_CKPT.strip()] if name in USED else []
        for section, schema in SECTIONS.items():
            rows = setting_rows(name, section, schema)
            if rows:
                parts += [f"## {section}", table(KEYS, rows)]
    return "\n\n".join(parts) + "\n"


def group_table(command: str) -> str:
    """Return the groups that a command selects from, with links to each choice."""
    rows = []
    for group in default_groups(command):
        page = f"../groups/{page_name(group_path(group))}"
        names = accepted_options(group, command)
        links = ", ".join(f"[`{name}`]({page}#{anchor(name)})" for name in names)
        rows += [f"| [`{group}`]({page}) | {links} |"] if names else []
    return "\n".join(["| group | choices |", "| --- | --- |", *rows])


def sections_list() -> str:
    """Return links to all sections."""
    links = (f"[`{name}`](../groups/{page_name(group_path(name))}#keys)" for name in SECTIONS)
    return "\n".join(f"- {link}" for link in links)


def root_key_rows(command: str) -> list[list[str]]:
    """Return the rows of the keys at the root of a command's configuration."""
    rows = []
    for key in root_keys(command):
        if key.above:
            rows.append([inline(" ".join(key.above))])
        value = key.value.replace("${command}", command).replace(MISSING, "(required)")
        kind = kind_in_words(TYPES.get(key.path, "")) or kind_of(key.value)
        rows.append([code(key.path), kind, code(value), inline(key.comment)])
    return rows


def kind_of(default: str) -> str:
    """Return the type of a default as written in YAML; nothing for null and interpolations."""
    value = None if "${" in default or default == MISSING else yaml.safe_load(default)
    return {dict: "mapping"}.get(type(value), "" if value is None else type(value).__name__)


def setting_rows(command: str, section: str, schema: type) -> list[list[str]]:
    """Return the rows of a section's keys that a command reads."""
    kinds = dict(setting_kinds(section, schema))
    return [
        [code(path), kinds.get(path, ""), code(value), inline(text)]
        for path, value, text in map(parted, section_rows(command, section, schema, {}))
    ]


def parted(row: Row) -> tuple[str, str, str]:
    """Split a row of the help into key, default and description."""
    key, _, value = row[0].partition("=")
    return key, value, row[1]


def setting_kinds(path: str, schema: type) -> Iterator[tuple[str, str]]:
    """Yield the type of each setting of a section, by its path, except those of subsections."""
    inner, hints = subsections(schema), get_type_hints(schema)
    for field in fields(schema):
        key = f"{path}.{field.name}"
        if field.name in inner:
            below = f"{key}[i]" if field.name in list_fields(schema) else key
            yield from setting_kinds(below, inner[field.name])
        else:
            yield key, kind_in_words(inspect.formatannotation(hints[field.name]))


def group_page(name: str) -> str:
    """Return the page of a group: its choices, then the keys of the section of that name."""
    parts = [f"# {name}"]
    if name in group_names():
        parts.append(f"Select one with `{name}=NAME`.")
        for choice in load_choices([name], choices(name), [conf_dir()]):
            parts += [f"## {choice.name} {{ #{anchor(choice.name)} }}", *choice_parts(choice)]
    if name in SECTIONS:
        about_it = paragraphs(summary_of(SECTIONS[name]))
        rows = setting_rows("finetune", name, SECTIONS[name])
        parts += ["## Keys", about_it, table(KEYS, rows)]
    return "\n\n".join(parts) + "\n"


def summary_of(schema: type) -> str:
    """Return the docstring of a section."""
    return inspect.getdoc(schema) or ""


def anchor(choice: str) -> str:
    """Return the anchor of a choice; ``keys`` is taken."""
    return f"choice-{choice}"


def choice_parts(choice: Choice) -> Iterator[str]:
    """Yield what there is to say about a choice: a component, or the values that it sets."""
    path = conf_dir() / choice.group / f"{choice.name}.yaml"
    text = path.read_text(encoding="utf-8")
    selected = f"`{choice.group}={choice.name}`"
    if note := heading(text):
        yield f"<p>{inline(sentence(note))}</p>"
    if "_target_" not in choice.content:
        yield f"{selected} sets:"
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        yield fence("\n".join(lines), "yaml")
        return
    target = str(choice.content["_target_"])
    component = read_component(target)
    rows = [
        [code(path), inline(kind), code(value), ""]
        for path, value, kind in map(parted, component_rows(choice, component, {}))
    ]
    yield paragraphs(f"{component.about}\n\n{component.details}")
    yield table(KEYS, rows)
    for inner, names in choice.parts.items():
        group, _, place = inner.partition("@")
        link = f"[`{group}`]({page_name(group_path(group))})"
        yield f"`{place}` is itself a component, by default {link} `{', '.join(names)}`."
    yield f"Class: [`{target}`][{target}]"
