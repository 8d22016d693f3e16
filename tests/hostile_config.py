"""Configurations as someone who means harm may write them: files, and what is typed with them.

Each is chosen by a command line that would train a tiny model, were there no such file. What
would run writes ``EXECUTED`` into the working folder; what would be written goes to ``outside``.
"""

import os
import random
import socket
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

GLOBAL = "# @package _global_\n"
CANARY = "EXECUTED"
SECRET = "s3cr3t-in-the-environment"
ENVIRONMENT = {"PAYLOAD": "evil.Evil", "OUTSIDE": "../outside", "API_KEY": SECRET}
EVIL = f"""
open({CANARY!r}, "w").close()
class Evil:
    def __init__(self, *args, **kwargs): pass
class Handler(Evil): pass
stream = None
"""
"""A module that shows that it was imported."""


@dataclass(frozen=True)
class Case:
    """``files`` below the folder ``my`` of --config-dir, by their content or by what makes them."""

    files: Mapping[str, str | bytes | Callable[[Path], object]]
    args: tuple[str, ...] = ("experiment=evil",)
    more: tuple[str, ...] = ()
    harmless: bool = False
    """Nothing of it need be refused."""

    def write(self, folder: Path) -> None:
        """Write the files."""
        for name, content in self.files.items():
            path = folder / "my" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())


PAYLOADS: dict[str, Any] = {
    "a function": {"_target_": "os.system", "command": f"touch {CANARY}"},
    "a class": {"_target_": "evil.Evil"},
    "a part": {"_target_": "evil.Evil", "_partial_": True},
    "unconverted": {"_target_": "evil.Evil", "_recursive_": False, "_convert_": "all"},
    "arguments": {"_target_": "builtins.exec", "_args_": [f"open({CANARY!r}, 'w')"]},
    "a module of mmtx": {"_target_": "mmtx_cli.io.atomic.os.system", "command": f"touch {CANARY}"},
    "a function of mmtx": {"_target_": "mmtx_cli.cli.main", "argv": ["--version"]},
    "another path": {"_target_": "os.path.os.system", "command": f"touch {CANARY}"},
    "a name put together": {"_target_": "evil.${now:Evil}"},
    "a name of the environment": {"_target_": "${oc.env:PAYLOAD}"},
    "a name decoded": {"_target_": "${oc.decode:'\"evil.Evil\"'}"},
    "a node created": "${oc.create:{_target_: evil.Evil}}",
    "a node decoded": "${oc.decode:'{_target_: evil.Evil}'}",
    "a reference": "${label_names}",
    "deep inside": {"x": [{"y": {"z": [[{"_target_": "evil.Evil"}]]}}]},
    "a list as name": {"_target_": ["evil.Evil"]},
    "a loader": {"_target_": "hydra.utils.get_class", "path": "evil.Evil"},
    "a pickle": {"_target_": "torch.load", "f": "evil.pt", "weights_only": False},
}
"""Nodes that Hydra would instantiate."""


def at(path: str, value: Any) -> dict[str, Any]:
    """A configuration with a value at a dotted key."""
    for name in reversed(path.split(".")):
        value = [value] if name == "[]" else {name: value}
    return value  # type: ignore[no-any-return]


HYDRA = (
    "hydra.callbacks",
    "hydra.callbacks.e",
    "hydra.launcher",
    "hydra.sweeper.params.x",
    "hydra.job_logging.handlers.h",
    "hydra.hydra_logging.formatters.f",
    "hydra.job.env_set",
)
PARTS = (
    "encoder.image",
    "encoder.image.mean",
    "encoder.text",
    "fusion",
    "fusion.depth",
    "head.classification",
    "head.classification.label_smoothing",
    "head.other",
    "data",
    "data.augment",
    "data.mixture.[]",
    "optimizer.betas",
    "trainer.early_stopping",
    "logger.wandb",
    "freeze",
    "label_names",
    "feature_sizes.image",
    "trusted_packages",
    "unknown",
)

REPLACED = ("data", "label_names", "feature_sizes.image")
"""What the command line sets as a whole, or a run fills in: nothing of a file is left of it."""

LOGS: dict[str, Any] = {
    "a class": {"handlers": {"h": {"class": "evil.Handler"}}},
    "a factory": {"handlers": {"h": {"()": "evil.Evil"}}},
    "a format": {"formatters": {"f": {"class": "evil.Evil"}}},
    "a factory of formats": {"formatters": {"f": {"()": "evil.Evil"}}},
    "a filter": {"filters": {"f": {"()": "evil.Evil"}}},
    "a stream": {
        "handlers": {"h": {"class": "logging.StreamHandler", "stream": "ext://evil.stream"}}
    },
    "a file": {"handlers": {"h": {"class": "logging.FileHandler", "filename": "../outside/x"}}},
    "a growing file": {
        "handlers": {
            "h": {"class": "logging.handlers.WatchedFileHandler", "filename": "../outside/x"}
        }
    },
    "a socket": {
        "handlers": {"h": {"class": "logging.handlers.SocketHandler", "host": "x", "port": 1}}
    },
    "a class of a variable": {"handlers": {"h": {"class": "${oc.env:PAYLOAD}"}}},
    "an object in a list": {
        "handlers": {"h": {"class": "logging.NullHandler", "x": ["ext://evil"]}}
    },
    "a class by reference": {
        "handlers": {"h": {"class": "logging.NullHandler"}, "g": {"()": "cfg://handlers.h.class"}}
    },
}
ELSEWHERE: dict[str, Any] = {
    "run.dir": ("../outside", "${oc.env:OUTSIDE}", "/proc/self/cwd/../outside"),
    "sweep.dir": ("../outside", "${oc.env:OUTSIDE}", "${run_dir}/../../outside"),
    "sweep.subdir": ("../../outside", "${oc.env:OUTSIDE}"),
    "output_subdir": ("../outside", ".", "${oc.env:API_KEY}"),
    "job.chdir": (True, "yes"),
    "job.env_copy": (["API_KEY"],),
    "searchpath": (["pkg://evil"], ["file://../outside"], ["${oc.env:PAYLOAD}"]),
}


def doubled(count: int) -> str:
    lines = [f"a{i}: ${{a{i - 1}}}${{a{i - 1}}}" for i in range(1, count)]
    return "\n".join(["a0: ha", *lines, f"run_dir: ${{a{count - 1}}}"])


def laughs(levels: int = 9) -> str:
    lines = [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(["a0: &a0 [1,1,1,1,1,1,1,1,1,1]", *lines])


def a_socket(path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.path.relpath(path))  # a socket's address is short
    server.close()


TEXTS: dict[str, str | bytes | Callable[[Path], object]] = {
    "aliases": laughs(),
    "merged aliases": "a: &a {x: 1}\nb: &b {<<: [*a, *a], y: *a}\n" + laughs(),
    "an alias of itself": "a: &a {x: *a}",
    "brackets": "a: " + "[" * 5000,
    "balanced brackets": "a: " + "[" * 500 + "]" * 500,
    "keys in keys": "".join(" " * i + f"a{i}:\n" for i in range(2000)),
    "interpolations": doubled(30),
    "a long chain": "\n".join(f"a{i}: ${{a{i - 1}}}" for i in range(1, 3000)) + "\na0: 1",
    "a circle": "num_frames: ${max_feature_length}\nmax_feature_length: ${num_frames}",
    "an interpolation in another": "x: seed\nnum_frames: ${${x}}",
    "no end of an interpolation": "dim: ${" + "a." * 5000,
    "brackets of interpolations": "dim: " + "${" * 3000 + "}" * 3000,
    "a resolver of no name": "num_frames: ${oc.nothing:1}",
    "a resolver of all": "num_frames: ${oc.dict.values:}",
    "a number of 5000 digits": f"seed: {'9' * 5000}",
    "a large number": "num_frames: 1e308",
    "an endless number": "num_frames: .inf",
    "no number": "optimizer: {lr: .nan}",
    "a date": "seed: 2024-99-99",
    "a tag of Python": "seed: !!python/object/apply:os.system ['touch EXECUTED']",
    "a module of Python": "seed: !!python/module:evil",
    "a tag of one's own": "seed: !evil 3",
    "bytes": "seed: !!binary aGE=",
    "a key twice": "seed: 1\nseed: 2",
    "a key that is a list": "? [1, 2]\n: 3",
    "a key that is null": "? null\n: 3",
    "a long key": f"{'k' * 200_000}: 1",
    "not UTF-8": b"seed: \xff\xfe",
    "UTF-16": GLOBAL.encode("utf-16") + "seed: 3".encode("utf-16"),
    "NUL": b"seed: 1\0",
    "signs of a terminal": 'experiment_of: "\\e[2J\\e]0;x\\a"',
    "two documents": "seed: 1\n---\nseed: 2",
    "a list": "- 1\n- 2",
    "a text": "evil",
    "YAML of another version": "%YAML 9.9\n---\nseed: 1",
    "itself": "defaults: [/experiment/evil]",
    "a configuration of another place": "defaults: [../../../../outside/x]",
    "an absolute place": "defaults: [//etc/passwd]",
    "many configurations": f"defaults: [{', '.join(['/mine/none'] * 2000)}]",
    "a list in the list": "defaults: [[[{a: b}]]]",
    "a choice of everything": "defaults: [{override /encoder/text: [x, y]}]",
    "a package of nothing": "defaults: [/fusion/concat@..]",
    "a choice by a variable": "defaults: [{override /encoder/text: '${oc.env:PAYLOAD}'}]",
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a folder": lambda path: path.mkdir(),
    "a socket": a_socket,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a file of 100 GB": lambda path: path.touch() or os.truncate(path, 10**11),
    "a secret as text": "data: {tokenizer: '${oc.env:API_KEY}'}",
    "a secret as number": "num_frames: ${oc.env:API_KEY}",
    "a secret as key": "x${oc.env:API_KEY}: 1",
    "trust": "trusted_packages: [evil]",
    "trust by reference": "trusted_packages: '${freeze}'\nfreeze: [evil]",
    "trust of everything": "trusted_packages: ['', '.', '*']",
    "arguments of others": "args: ['trusted_packages=[evil]']",
    "overrides of others": "overrides: {finetune: ['trusted_packages=[evil]']}",
    "a misspelt key": "trainr: {max_steps: 3}",
    "another command": "command: demo",
    "all workers": "data: {eval_batch_size: 1000000000000}",
    "all memory": "max_feature_length: 1000000000",
    "all samples": "data: {captions_per_sample: 1000000000000}",
    "all pixels": "data: {max_image_pixels: 1e15}",
    "all layers": "fusion: {depth: 1000000000}",
    "more than 64 bits": "num_frames: 36893488147419103232",
    "devices": "trainer: {devices: 4096, strategy: ddp_spawn}",
    "a hostile weights file": "encoder: {image: {weights: /dev/zero}}",
    "a checkpoint that is a device": "ckpt: /dev/zero",
    "data that are a device": "data: {root: /dev/zero}",
    "a tokenizer that is a device": "data: {tokenizer: /dev/zero, text: text}",
    "a download": "data: {root: 'http://localhost:9/x'}",
}  # fmt: skip
"""Whole files."""


def experiment(content: Any) -> dict[str, Any]:
    """The files of an experiment."""
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    return {"experiment/evil.yaml": GLOBAL + text}


def carriers(payload: Mapping[str, Any]) -> Iterator[tuple[str, Case]]:
    """Ways by which a node gets below ``hydra``."""
    text = yaml.safe_dump({"e": payload})
    inner = yaml.safe_dump(payload)
    yield (
        "a list of defaults",
        Case({**experiment("defaults: [/mine@hydra.callbacks: more]"), "mine/more.yaml": text}),
    )
    yield (
        "a package of its own",
        Case(
            {
                **experiment("defaults: [/mine/more]"),
                "mine/more.yaml": f"# @package hydra.callbacks\n{text}",
            }
        ),
    )
    yield "a header", Case({"experiment/evil.yaml": f"# @package hydra.callbacks.e\n{inner}"})
    yield (
        "a header of the node",
        Case({"experiment/evil.yaml": f"# @package hydra\ncallbacks: {{e: {payload}}}\n"}),
    )
    yield "the command line", Case({"mine/more.yaml": text}, args=("+mine@hydra.callbacks=more",))
    yield (
        "a choice of a group",
        Case({"fusion/evil.yaml": f"# @package hydra.callbacks\n{text}"}, args=("fusion=evil",)),
    )
    yield (
        "a choice of Hydra's",
        Case({"hydra/callbacks/evil.yaml": text}, args=("+hydra/callbacks=evil",)),
    )
    yield (
        "a log of its own",
        Case(
            {
                "hydra/job_logging/evil.yaml": yaml.safe_dump(
                    {"version": 1, "handlers": {"h": payload}}
                )
            },
            args=("hydra/job_logging=evil",),
        ),
    )
    yield (
        "an experiment behind another",
        Case(
            {
                **experiment("defaults: [/experiment/next]"),
                "experiment/next.yaml": GLOBAL + yaml.safe_dump(at("hydra.callbacks.e", payload)),
            }
        ),
    )
    for name in ("finetune", "base", "hydra/config", "hydra/job_logging/none", "logger/wandb"):
        content = GLOBAL + yaml.safe_dump(at("hydra.callbacks.e", payload))
        yield f"the place of {name}", Case({f"{name}.yaml": content}, args=(), harmless=True)


def cases() -> dict[str, Case]:
    """Every payload at every place, by every way; what logs and writes; whole files."""
    result: dict[str, Case] = {}
    for what, payload in PAYLOADS.items():
        for place in HYDRA:
            result[f"{what} at {place}"] = Case(experiment(at(place, payload)))
    some = list(PAYLOADS.items())
    for number, place in enumerate(PARTS):
        for step in range(2):
            what, payload = some[(number * 5 + step * 7) % len(some)]
            result[f"{what} at {place}"] = Case(
                experiment(at(place, payload)),
                harmless=what == "a reference" or place in REPLACED,
            )
    for what in ("a class", "a name put together"):
        for way, case in carriers(PAYLOADS[what]):
            result[f"{what} by {way}"] = case
    for number, (what, log) in enumerate(LOGS.items()):
        name = ("job_logging", "hydra_logging")[number % 2]
        result[f"{what} in {name}"] = Case(experiment(at(f"hydra.{name}", log)))
    for key, values in ELSEWHERE.items():
        for value in values:
            more = ("-m", "seed=1,2") if "sweep" in key else ()
            result[f"{key} is {value}"] = Case(
                experiment(at(f"hydra.{key}", value)), more=more, harmless=key == "job.env_copy"
            )
    for what, text in TEXTS.items():
        content = text if callable(text) or isinstance(text, bytes) else GLOBAL + text
        result[what] = Case({"experiment/evil.yaml": content}, harmless=what in HARMLESS)
    return result


HARMLESS = ("another command",)
"""What is a label in this place, and nothing else."""
OVERRIDES = (
    *("seed=3", "optimizer.lr=0.01", "dim=8", "++data.lowercase=false", "fusion.depth=1"),
    *("head.classification.dropout=0", "trainer.log_every=1", "+x=1", "~logger"),
)
"""What nobody need fear, or is refused for itself."""


def merged(one: Any, other: Any) -> Any:
    """Both mappings in one; of two values the second."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return deepcopy(other)
    both = {key: merged(one[key], other[key]) for key in one.keys() & other.keys()}
    return deepcopy({**one, **other, **both})


def drawn(seed: int) -> Case:
    """Several of the above at once, with a few overrides, at random."""
    draw = random.Random(seed)
    content: Any = {}
    for _ in range(draw.randint(1, 4)):
        kind = draw.randrange(4)
        if kind == 0:
            part = at(
                f"hydra.{draw.choice(('job_logging', 'hydra_logging'))}",
                draw.choice([*LOGS.values()]),
            )
        elif kind == 1:
            key = draw.choice([*ELSEWHERE])
            part = at(f"hydra.{key}", draw.choice(ELSEWHERE[key]))
        else:
            part = at(draw.choice((*HYDRA, *PARTS)), draw.choice([*PAYLOADS.values()]))
        content = merged(content, part)
    more = tuple(draw.sample(OVERRIDES, draw.randrange(4)))
    if draw.random() < 0.2:
        more += ("-m", "seed=1,2")
    return Case(experiment(content), more=more, harmless=True)
