"""Graphs that compute more, or read more, than mmtx ever writes are rejected."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mmtx_cli.io.untrusted.bounded_file import RefusedFileError
from mmtx_cli.io.untrusted.onnx_file import check_graph


def model(nodes, initializers=(), **further):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(nodes, "graph", [value], [value], list(initializers))
    return helper.make_model(graph, **further)


def weights(**further):
    tensor = numpy_helper.from_array(np.ones(3, dtype=np.float32), "w")
    for name, value in further.items():
        setattr(tensor, name, value)
    return tensor


def elsewhere():
    """Weights in another file."""
    tensor = weights(data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def branch():
    inner = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "inner", [], [])
    return helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)


PLAIN = helper.make_node("Add", ["x", "w"], ["y"])
REJECTED = {
    "external weights": (model([PLAIN], [elsewhere()]), "another file"),
    "external constant": (
        model([helper.make_node("Constant", [], ["y"], value=elsewhere())]),
        "another file",
    ),
    "branches": (model([branch()]), "loops or branches"),
    "other operators": (model([helper.make_node("Run", [], ["y"], domain="evil")]), "evil"),
    "functions": (
        model(
            [PLAIN],
            functions=[helper.make_function("own", "f", [], [], [], [helper.make_opsetid("", 18)])],
        ),
        "functions",
    ),
}


def test_a_plain_graph_is_accepted():
    check_graph(memoryview(model([PLAIN], [weights()]).SerializeToString()))


@pytest.mark.parametrize("kind", REJECTED)
def test_what_is_rejected(kind):
    graph, word = REJECTED[kind]
    with pytest.raises(RefusedFileError, match=word):
        check_graph(memoryview(graph.SerializeToString()))


@given(st.binary(max_size=60))
def test_any_bytes(data):
    """Rejected, or accepted; nothing else happens."""
    try:
        check_graph(memoryview(data))
    except RefusedFileError:
        return
    onnx.ModelProto().ParseFromString(data)


@given(st.integers(0, 200))
def test_cut_files(size):
    """Rejected, unless cut between the graph and what follows it."""
    data = model([PLAIN], [weights()]).SerializeToString()
    cut = data[: min(size, len(data) - 1)]
    try:
        check_graph(memoryview(cut))
    except RefusedFileError:
        return
    assert onnx.ModelProto.FromString(cut).graph == onnx.ModelProto.FromString(data).graph
