"""Checks of untrusted ONNX graphs before a library reads them.

A graph computes and cannot run code, but it may refer to other files, to operators of a library of
its own, or to loops without an end. The protocol buffer is walked without building anything;
field numbers are those of ``onnx.proto``.
"""

from collections.abc import Iterator

from mmtx_cli.io.untrusted.bounded_file import RefusedFileError

MAX_GRAPH_BYTES = 2**31 - 1
"""Limit of a protocol buffer."""
MAX_NODES = 100_000
MODEL_GRAPH, MODEL_FUNCTIONS = 7, 25
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_OP, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = 5, 6, 10, 11
TENSOR_EXTERNAL_DATA, TENSOR_LOCATION = 13, 14
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
DOMAINS = (b"", b"ai.onnx")


def check_graph(data: memoryview) -> None:
    """Check that a graph is complete and straight: no other files, operators or subgraphs.

    Raises:
        RefusedFileError: if it is not, or not an ONNX graph.
    """
    graphs = 0
    for number, value in _fields(data):
        if number == MODEL_FUNCTIONS:
            raise RefusedFileError("it has functions of its own, which mmtx never writes")
        if number == MODEL_GRAPH and isinstance(value, memoryview):
            graphs += 1
            _check_contents(value)
    if graphs != 1:
        raise RefusedFileError("not an ONNX graph")


def _check_contents(graph: memoryview) -> None:
    nodes = 0
    for number, value in _fields(graph):
        if number == GRAPH_NODE and isinstance(value, memoryview):
            nodes += 1
            _check_node(value)
        elif number == GRAPH_INITIALIZER and isinstance(value, memoryview):
            _check_tensor(value)
        if nodes > MAX_NODES:
            raise RefusedFileError(f"more than {MAX_NODES:,} operators")


def _check_node(node: memoryview) -> None:
    for number, value in _fields(node):
        if number == NODE_DOMAIN and value not in DOMAINS:
            raise RefusedFileError(f"an operator of {bytes(value)!r}, which mmtx never writes")
        if number == NODE_ATTRIBUTE and isinstance(value, memoryview):
            for kind, inner in _fields(value):
                if kind in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS):
                    raise RefusedFileError("it has loops or branches, which mmtx never writes")
                if kind in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS) and isinstance(inner, memoryview):
                    _check_tensor(inner)


def _check_tensor(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == TENSOR_EXTERNAL_DATA or (number == TENSOR_LOCATION and value != 0):
            raise RefusedFileError("its weights are in another file, which mmtx never writes")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a message."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == VARINT:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if kind == BYTES:
            size, position = _varint(data, position)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise RefusedFileError("not a protocol buffer")
        if position + size > len(data):
            raise RefusedFileError("truncated")
        yield key >> 3, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return a number of up to ten bytes, and the position behind it."""
    value = 0
    for i in range(10):
        if position >= len(data):
            raise RefusedFileError("truncated")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, position
    raise RefusedFileError("not a protocol buffer")
