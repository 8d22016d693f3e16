"""Files as someone who means harm may write them."""

import json
import os
import socket
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

CONFIG = {
    "model": {"dim": 2, "encoder": {}, "fusion": {}, "head": {}},
    "preparation": {"image_size": 32},
    "data": {},
    "tokenizer": '{"a": 1}',
    "text_tokenizer": None,
}
STATE = {"head.a.weight": torch.ones(2, 2), "head.a.bias": torch.zeros(2)}
CHECKPOINT = {"config": CONFIG, "state_dict": {f"model.{k}": v for k, v in STATE.items()}}


def with_config(**changes) -> dict:
    return {**CHECKPOINT, "config": {**CONFIG, **changes}}


def cycle() -> list:
    items: list = []
    items.append(items)
    return items


def laughs(width: int = 10, depth: int = 9) -> list:
    """A list of a billion texts that takes a few hundred bytes in a pickle."""
    items: list = ["lol"] * width
    for _ in range(depth):
        items = [items] * width
    return items


def nested(levels: int) -> list:
    items: list = []
    for _ in range(levels):
        items = [items]
    return items


CHECKPOINTS: dict[str, Callable[[], object]] = {
    "no state dict": lambda: {"config": CONFIG},
    "state dict of a list": lambda: {**CHECKPOINT, "state_dict": [1]},
    "state dict of numbers": lambda: {**CHECKPOINT, "state_dict": {"model.a": 3}},
    "bytes as a name": lambda: {**CHECKPOINT, "state_dict": {b"model.a": torch.ones(1)}},
    "a tensor that repeats": lambda: {
        **CHECKPOINT,
        "state_dict": {"model.a": torch.ones(1).expand(10**12)},
    },
    "a sparse tensor": lambda: {
        **CHECKPOINT,
        "state_dict": {"model.a": torch.sparse_coo_tensor(size=(10**6, 10**6))},
    },
    "a tensor without numbers": lambda: {
        **CHECKPOINT,
        "state_dict": {"model.a": torch.empty(10**9, device="meta")},
    },
    "a set": lambda: with_config(data={"a": {1, 2}}),
    "a tensor": lambda: with_config(data={"a": torch.ones(2)}),
    "a data type": lambda: with_config(data={"a": torch.float32}),
    "bytes as a key": lambda: with_config(data={b"a": 1}),
    "a number as a key": lambda: with_config(data={1: 1}),
    "a cycle": lambda: with_config(data={"a": cycle()}),
    "shared lists": lambda: with_config(data={"a": laughs()}),
    "deep lists": lambda: with_config(data={"a": nested(300)}),
    "a number of 70 bits": lambda: with_config(model={**CONFIG["model"], "dim": 2**70}),
    "labels of numbers": lambda: with_config(label_names=[1, 2]),
    "labels of one text": lambda: with_config(label_names="cat"),
    "a tokenizer of a list": lambda: with_config(tokenizer=["a"]),
    "rows of a text": lambda: with_config(rows="many"),
}
"""What ``torch.save`` writes, and ``torch.load`` reads, but mmtx never has."""


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes], **how) -> Path:
    """The archive with the content of its entries changed, or otherwise compressed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", **how) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, change(entry.filename, old.read(entry)))
    return target


def deflated(source: Path, target: Path) -> Path:
    """A checkpoint whose storages are megabytes of zeros in a few bytes."""
    zeros = bytes(8 * 2**20)
    return rewritten(
        source,
        target,
        lambda name, data: zeros if "/data/" in name else data,
        compression=zipfile.ZIP_DEFLATED,
    )


def overlapping(source: Path, target: Path) -> Path:
    """A checkpoint whose index has the same entry many times."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
        new.writestr("archive/data/big", bytes(2**16))
        first = new.infolist()[-1]
        for number in range(1000):
            copy = zipfile.ZipInfo(f"archive/data/{number + 100}")
            for name in ("header_offset", "CRC", "file_size", "compress_size"):
                setattr(copy, name, getattr(first, name))
            new.filelist.append(copy)
    return target


def memo_bomb(source: Path, target: Path, count: int = 5_000_000) -> Path:
    """A checkpoint whose pickle makes an empty set of each byte."""
    bomb = b"\x80\x04(" + b"\x8f" * count + b"t."
    return rewritten(source, target, lambda n, data: bomb if n.endswith("data.pkl") else data)


ARCHIVES = {"deflated": deflated, "overlapping": overlapping, "memo bomb": memo_bomb}
WHY_REFUSED = {"deflated": "compressed", "overlapping": "overlap", "memo bomb": "data.pkl"}
"""A word of the message about each."""


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_socket(path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.path.relpath(path))  # a socket's address is short
    server.close()


def a_folder(path: Path) -> None:
    path.mkdir()


SPECIAL = {"fifo": fifo, "device": device, "socket": a_socket, "folder": a_folder}


def text(content: str | bytes) -> Callable[[Path], object]:
    raw = content.encode() if isinstance(content, str) else content
    return lambda path: path.write_bytes(raw)


def huge(path: Path) -> None:
    """A file of 100 GB that takes no room."""
    with open(path, "wb") as file:
        file.truncate(10**11)


def config(**changes) -> Callable[[Path], object]:
    plain = {k: v for k, v in CONFIG.items() if not k.endswith("tokenizer")}
    return text(json.dumps({**plain, "tokenizers": ["tokenizer"], **changes}))


CONFIGS = {
    **SPECIAL,
    "huge": huge,
    "brackets": text("[" * 100_000),
    "balanced brackets": text("[" * 500 + "]" * 500),
    "not UTF-8": text(b"\xff\xfe"),
    "empty": text(""),
    "a number": text("3"),
    "a key twice": text('{"model": {}, "model": {}}'),
    "a long number": text('{"model": ' + "9" * 5000 + "}"),
    "a number of 70 bits": config(model={**CONFIG["model"], "dim": 2**70}),
    "tokenizers of a number": config(tokenizers=5),
    "tokenizers of another name": config(tokenizers=["../../../etc/passwd"]),
    "tokenizers of a list": config(tokenizers=[["tokenizer"]]),
    "labels of numbers": config(label_names=[1]),
}
TOKENIZERS = {**SPECIAL, "huge": huge, "not UTF-8": text(b"\xff\xfe")}
WEIGHTS = {
    **SPECIAL,
    "huge": huge,
    "empty": text(""),
    "a long header": text(struct.pack("<Q", 2**40) + b"{}"),
    "a header of brackets": text(struct.pack("<Q", 10**5) + b"[" * 10**5),
    "an offset beyond the end": text(
        struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'.ljust(60)
    ),
}
BACKENDS = {
    "brackets": "[" * 100_000,
    "empty": "",
    "a number": "3",
    "no model": "{}",
    "a merge of no tokens": json.dumps(
        {"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}}
    ),
    "a broken template": json.dumps(
        {
            "version": "1.0",
            "post_processor": {"type": "TemplateProcessing", "single": "$Z", "pair": "$Z"},
            "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
        }
    ),
}
