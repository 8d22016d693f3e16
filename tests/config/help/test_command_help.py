"""What ``mmtx <command> --help`` lists is what the command takes."""

import inspect
import re
import shlex
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from mmtx_cli.cli import COMMANDS, main
from mmtx_cli.config import data_settings
from mmtx_cli.config.conf_tree import (
    ACTIONS,
    MISSING,
    ROOT_GROUPS,
    choices,
    conf_dir,
    default_groups,
    group_names,
    root_keys,
)
from mmtx_cli.config.cross_checks import CACHING
from mmtx_cli.config.groups import accepted_options, load_choices, names_in
from mmtx_cli.config.help.command_help import EXAMPLES, print_usage
from mmtx_cli.config.help.components import format_value
from mmtx_cli.config.help.settings import MODEL_DEFAULTS, USED
from mmtx_cli.config.help.yaml_comments import heading, keys
from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.config.schema import FILLED, SECTIONS
from mmtx_cli.config.validate import PROVIDED
from tests.messages import mentions

COMPONENTS = sorted(
    (group, name)
    for group in group_names()
    if group.split("/")[0] in ("encoder", "fusion", "head")
    for name in choices(group)
)
CONFIGS = [command for command in COMMANDS if command not in ACTIONS]
CONFIGS += [f"data_{action}" for action in ACTIONS["data"]]
ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "docs" / "guide.md", ROOT / "docs" / "data.md"]
USER_MODULE = '''
from mmtx_cli.fusion.base import Fusion
from nowhere_at_all import LATER

MEAN = (1, 2.5)


class Mine(Fusion):
    """Made by a ``user``."""

    def __init__(self, dim: int, modalities, rate: float = 0.1, *, mean=MEAN, size: int) -> None:
        """``size`` matters."""


class Plain(Fusion):
    def fuse(self, streams): ...
'''


@pytest.fixture
def helped(capsys):
    """What the help of a command says, after these arguments."""

    def ask(command, *args):
        print_usage(command, args)
        return capsys.readouterr().out

    return ask


@pytest.fixture
def user_component(tmp_path, monkeypatch):
    """A user's component, whose module cannot even be imported, and its configuration."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(USER_MODULE)
    for name, target in (("mine", "mine.Mine"), ("plain", "mine.Plain"), ("gone", "mine.Gone")):
        path = tmp_path / "my_conf" / "fusion" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# About {name}.\n_target_: {target}\ndim: ${{dim}}\nmode: [a, null]\n")
    (tmp_path / "my_conf" / "optimizer").mkdir()
    (tmp_path / "my_conf" / "optimizer" / "fast.yaml").write_text("lr: 0.5\n")
    return "--config-dir", "my_conf"


def rows(text):
    """Left and right column of every row, by what stands before the ``=``."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"  ([+\w./]+)(?:=(\S.*?))?(?:  +(\S.*))?$", line)
        if match and not line.startswith("   "):
            found[match[1]] = (match[2], match[3])
    return found


@pytest.mark.parametrize("command", CONFIGS)
def test_every_key_at_the_root_is_listed_with_its_default_and_nothing_else(command, helped):
    listed = rows(helped(command).partition("\nKeys\n")[2].partition("\n\n")[0])
    nodes = {"encoder", "fusion", "connector", "decoder", "vlm", "head", *SECTIONS}
    hidden = {"command", *nodes, *FILLED, *ROOT_GROUPS}
    hidden |= {"run_dir", "resume"} if command == CACHING else set()
    assert {key.split(".")[0] for key in listed} == {*root_keys(command)} - hidden
    defaults = yaml.safe_load((conf_dir() / f"{command}.yaml").read_text())
    for key, (value, _) in listed.items():
        if key in defaults:
            assert yaml.safe_load(value.replace("(required)", MISSING)) == defaults[key], key


def test_the_values_a_run_fills_in_come_from_the_data():
    from mmtx_cli.data.corpus import Corpus

    manifest = SimpleNamespace(split=lambda name: [])
    corpus = SimpleNamespace(
        tokenizer=None,
        text_tokenizer=None,
        label_names=[],
        multi_label=False,
        answer_names=[],
        manifest=manifest,
        preparation=Preprocessing(),
    )
    assert set(FILLED) == set(Corpus.config_values(corpus))


def comment(name, key):
    """What stands behind a key in a file of conf/."""
    lines = (conf_dir() / f"{name}.yaml").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{key}:")]
    return line.partition("  # ")[2]


def test_comments_behind_keys_are_shown(helped):
    assert rows(helped("eval"))["drop_modalities"] == ("[]", comment("eval", "drop_modalities"))
    assert rows(helped("finetune"))["resume"] == ("false", comment("base", "resume"))
    data = helped("data", "action=import", "importer=flickr8k")
    assert rows(data)["splits.val"] == ("null", None)
    assert re.search(r"\n  # list of .+\n  splits\.train=null\n", data)
    assert rows(helped("demo"))["run_dir"][0].startswith("runs/demo/${now:")
    assert rows(helped("finetune"))["run_dir"][0].startswith("runs/finetune/${now:")


@pytest.mark.parametrize("command", ["pretrain", "finetune", "eval"])
def test_every_group_is_listed_with_its_choices(command, helped):
    listed = rows(helped(command).partition("\nGroups\n")[2].partition("\n\n")[0])
    expected = {g: "|".join(accepted_options(g, command)) for g in default_groups(command)}
    expected = {group: names for group, names in expected.items() if names}
    assert {group: value for group, (value, _) in listed.items()} == expected


def setting_paths(prefix, schema):
    hints = inspect.get_annotations(schema)
    for field in fields(schema):
        kinds = [hints[field.name], *getattr(hints[field.name], "__args__", ())]
        inner = [kind for kind in kinds if is_dataclass(kind)]
        if inner:
            yield from setting_paths(f"{prefix}.{field.name}", inner[0])
        else:
            yield f"{prefix}.{field.name}"


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_every_setting_is_listed_where_something_is_trained(command, helped):
    listed = rows(helped(command))
    for name, schema in SECTIONS.items():
        assert set(setting_paths(name, schema)) <= set(listed)
    assert listed["data.batch_size"][0] == "32"
    assert (
        f'\n    """{listed["data.batch_size"][1]}"""\n' in Path(data_settings.__file__).read_text()
    )
    assert listed["optimizer.betas"] == ("[0.9,0.98]", None)
    assert listed["trainer.early_stopping"][0] == "null"
    assert listed["trainer.early_stopping.patience"][0] == "5"


def test_where_nothing_is_trained_the_settings_are_those_that_matter(helped):
    for command, used in USED.items():
        listed = rows(helped(command))
        for section, schema in SECTIONS.items():
            names = {field.name for field in fields(schema)}
            assert set(used.get(section, ())) <= names
            shown = {key.split(".")[1] for key in listed if key.startswith(f"{section}.")}
            assert shown == set(used.get(section, ()))
    assert set(MODEL_DEFAULTS) <= set(USED["eval"]["data"])
    mentions(rows(helped("caption"))["data.resize_mode"][1], "model")
    assert "trainer.devices" in rows(helped("caption"))
    assert not [key for key in rows(helped("score")) if key.partition(".")[0] in SECTIONS]


@pytest.mark.parametrize(("group", "name"), COMPONENTS)
@pytest.mark.quick_cases(25)
def test_every_key_of_a_component_is_listed_with_its_default(group, name, helped):
    listed = rows(helped("finetune", f"{group}={name}"))
    (choice,) = load_choices([group], [name], [conf_dir()])
    content, place = choice.content, choice.place
    module, _, cls = content["_target_"].rpartition(".")
    hidden = {*PROVIDED.get(group, ()), *FILLED}
    filled = tuple(f"${{{key}" for key in FILLED)
    hidden |= {key for key, value in content.items() if str(value).startswith(filled)}
    hidden |= {
        inner.partition("@")[2]
        for item in content.get("defaults", ())
        if isinstance(item, dict)
        for inner in item
    }
    real = inspect.signature(getattr(import_module(module), cls)).parameters
    for key, parameter in real.items():
        path = f"{place}.{key}"
        if key in hidden:
            assert path not in listed
            continue
        value, kind = listed[path]
        expected = format_value(content[key]) if key in content else format_value(parameter.default)
        assert value == expected, path
        assert kind, path


def test_evaluation_only_heads_have_their_keys_in_the_help(helped):
    listed = rows(helped("eval", "head=[probe,retrieval]"))
    assert listed["head.probe.k"] == ("20", "int")
    assert listed["head.retrieval.k"] == ("[1,5,10]", "list of int")
    assert not [key for key in rows(helped("eval")) if key.startswith("head.")]


def test_a_component_inside_another(helped):
    inside = rows(helped("finetune", "encoder/video=per_frame"))
    assert inside["encoder.video.image.patch_size"] == ("16", "int")
    assert "encoder.video.image" not in inside
    other = ("encoder/video=per_frame", "encoder/image@encoder.video.image=cnn")
    assert rows(helped("finetune", *other))["encoder.video.image.body"] == ("resnet18", "str")
    taught = rows(helped("pretrain", "head=distillation_image"))
    assert taught["head.distillation_image.teacher.weights"] == ("DEFAULT", "str or null")


def test_defaults_of_the_command_and_of_an_experiment_count_as_chosen(helped):
    assert rows(helped("pretrain"))["head.contrastive.embed_dim"][0] == "256"
    assert "head.contrastive.embed_dim" not in rows(helped("pretrain", "head=captioning"))
    shown = rows(helped("pretrain", "experiment=scenes_pretrain"))
    assert shown["head.contrastive.embed_dim"][0] == "128"
    assert shown["encoder.image.stem"][0] == "conv"
    assert shown["dim"] == ("128", comment("pretrain", "dim"))
    assert shown["trainer.max_steps"][0] == "300"
    assert shown["data.path"][0] == "scenes/scenes.jsonl"


def test_without_a_choice_help_explains_how_to_list_component_keys(helped):
    message = helped("finetune")
    assert "  mmtx finetune head=captioning encoder/image=vit --help\n" in message
    assert not [key for key in rows(message) if key.startswith(("head.", "encoder.", "fusion."))]
    assert "`mmtx finetune head=captioning --help`" in helped("caption")


def test_several_heads_and_an_unknown_choice(helped):
    both = rows(helped("finetune", "head=[contrastive,captioning]"))
    assert {
        "head.contrastive.loss",
        "head.captioning.label_smoothing",
        "generation.num_beams",
    } <= set(both)
    message = helped("finetune", "head=capt", "--config-dir", "nowhere")
    mentions(message, "\nhead=capt: ", "captioning, classification")
    mentions(message, "\n--config-dir nowhere: ")


def test_user_defined_groups_and_components(user_component, helped):
    message = helped("finetune", *user_component, "fusion=mine")
    choices = next(line for line in message.splitlines() if line.startswith("  fusion="))
    assert {"concat", "gone", "mine", "plain"} <= {*choices.partition("=")[2].split("|")}
    assert re.search(r"^    mine +About mine\.$", message, re.M)
    assert "  +optimizer=fast\n" in message
    listed = {key: row for key, row in rows(message).items() if key.startswith("fusion.")}
    assert listed == {
        "fusion.dim": ("${dim}", "int"),
        "fusion.rate": ("0.1", "float"),
        "fusion.mean": ("[1,2.5]", None),
        "fusion.size": ("(required)", "int"),
    }
    assert "    Made by a user.\n\n    size matters.\n" in message
    assert rows(helped("finetune", *user_component, "+optimizer=fast"))["optimizer.lr"][0] == "0.5"


def test_a_component_without_arguments_inherits_those_of_its_base(user_component, helped):
    listed = rows(helped("finetune", *user_component, "fusion=plain"))
    assert [key for key in listed if key.startswith("fusion.")] == ["fusion.dim"]


def test_a_missing_target_is_reported_in_its_place(user_component, helped):
    page = helped("finetune", *user_component, "fusion=gone")
    assert re.search(r"\nfusion: .*fusion=gone\n  mine\.Gone: .*'Gone'.*\n", page)


@pytest.mark.parametrize("choice", [f"{g}={n}" for g in ROOT_GROUPS for n in choices(g)])
def test_the_help_of_one_importer_or_data_set_has_its_keys_only(choice, helped):
    group, _, name = choice.partition("=")
    action = {"dataset": "create", "importer": "import"}[group]
    page = helped("data", f"action={action}", choice)
    content = yaml.safe_load((conf_dir() / group / f"{name}.yaml").read_text())
    listed = {key.split(".")[0] for key in rows(page)}
    assert listed == {*root_keys(f"data_{action}"), *content} - {group}
    words = shlex.split(re.search(r"^example: (.+)$", page, re.M)[1])
    assert words[:4] == ["mmtx", "data", f"action={action}", choice]
    assert {word.partition("=")[0].split(".")[0] for word in words[4:]} <= listed


def test_the_actions_are_listed(helped):
    message = helped("data")
    for action in ACTIONS["data"]:
        assert re.search(
            rf"^  action={action}: \w.+\n    mmtx data action={action} ", message, re.M
        )
        assert re.search(rf"mmtx data action={action}( \[\w+=NAME\])? --help$", message, re.M)
    message = helped("data", "action=import")
    assert "\n    coco " in message
    assert "importer=coco --help\n" in message
    mentions(helped("data", "action=import", "importer=coc"), "importer=coc: ", "coco, csv")


@pytest.mark.parametrize("command", EXAMPLES)
def test_the_examples_name_existing_keys(command, helped):
    words = shlex.split(EXAMPLES[command])
    keys_named = [word.partition("=")[0] for word in words[2:]]
    listed = rows(helped(command))
    assert set(keys_named) <= set(listed)


def commands_of(page):
    """The commands in the blocks and between the backticks of a page, as arguments."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    blocks = [block for language, block in fenced if not language]
    inline = re.findall(r"`(mmtx [^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    for line in [line for block in blocks for line in block.splitlines()] + inline:
        if line.split()[:1] == ["mmtx"] and line.split()[1] in COMMANDS:
            yield shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_name_existing_keys_and_choices(page, helped):
    commands = list(commands_of(page))
    assert len(commands) > 5
    for command, *args in commands:
        page = helped(command, *args)
        assert not re.search(r"^\S+=\S+: ", page, re.M), args  # as a wrong choice has it
        listed = set(rows(page)) | {group.replace("/", ".") for group in group_names()}
        for key in [arg.partition("=")[0] for arg in args if "=" in arg]:
            of_model = key.split(".")[0] in ("encoder", "fusion", "head")
            assert key in listed or (of_model and "ckpt=" in " ".join(args)), (command, key)


def test_the_command_line_hands_its_arguments_over(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mmtx", "finetune", "head=captioning", "--help"])
    assert main() == 0
    assert "head.captioning.label_smoothing=0.1" in capsys.readouterr().out


def test_keys_of_a_text():
    text = (
        "# top\na: 1  # one\n\n# of b\nb:  # block\n  c: {d: 2}\n  # of e\n  e: 'x # y'  # e\nf:\n"
    )
    assert [(k.path, k.value, k.comment, k.above) for k in keys(text)] == [
        ("a", "1", "one", ()),
        ("b.c", "{d: 2}", "", ("of b", "block")),
        ("b.e", "'x # y'", "e", ("of e",)),
        ("f", "", "", ()),
    ]
    assert list(keys("")) == []
    assert heading("# @package _global_\n# Says\n# this.\na: 1  # not\n") == "Says this."


def test_names_in_a_value():
    assert names_in("[a, 'b']") == ["a", "b"]
    assert names_in("a,b") == ["a", "b"]
    assert names_in("null") == names_in("") == names_in("[]") == []
