"""Bytes that processes exchange: what theory says, for each way of training together.

``CommDebugMode`` counts the collectives of FSDP2. It gives no bytes, and knows neither messages
from one process to another nor the all-reduces of DDP's reducer: those are added up where torch
dispatches them (``c10d``), which the reducer's are as well.
"""

from datetime import timedelta
from math import ceil
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmtx_cli.distributed.collectives import gather
from mmtx_cli.layer.contrastive_loss import sigmoid
from mmtx_cli.training.sharding import wrap
from tests.tiny import at_step, tiny_batch, tiny_model

pytestmark = pytest.mark.xdist_group("processes")
WORLD, ROWS, WIDTH = 3, 4, 6
SIZE = ROWS * WIDTH * 8
"""Bytes of the embeddings of a process, in double precision."""


class Bytes(TorchDispatchMode):
    """Adds up the bytes of the results of the operations of ``c10d``, by name."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "c10d":
            name = func._opname.strip("_")
            tensors = tree_leaves(args[0])  # of the result, where input and result differ
            size = sum(x.nbytes for x in tensors if isinstance(x, torch.Tensor))
            self.found[name] = self.found.get(name, 0) + size
        return func(*args, **(kwargs or {}))


def contrastive(rank, found):
    """The keys of all, gathered or passed on; the loss and gradients of the latter."""
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(WORLD, ROWS, WIDTH, generator=random, dtype=torch.float64) for _ in "ab")
    mask = torch.rand(WORLD, ROWS, generator=random) < 0.7
    keys = b[rank].clone().requires_grad_()
    with Bytes() as sent:
        everyone = gather(keys, True)
    with Bytes() as returned:
        everyone.sum().backward()
    found["gather"] = {**sent.found, **{f"backward {k}": v for k, v in returned.found.items()}}
    leaves = [a[rank].clone(), b[rank].clone(), torch.tensor(3.0), torch.tensor(-1.0)]
    leaves = [x.double().requires_grad_() for x in leaves]
    with Bytes() as sent:
        loss = sigmoid(*leaves, torch.arange(ROWS), mask[rank], mask[rank], True)
    loss.backward()
    found["sigmoid"] = sent.found
    total = loss.detach()
    dist.all_reduce(total)
    for x in leaves[2:]:
        dist.all_reduce(x.grad)
    found["ring"] = [total, *(x.grad for x in leaves)]
    whole = [a.flatten(0, 1), b.flatten(0, 1), torch.tensor(3.0), torch.tensor(-1.0)]
    whole = [x.double().requires_grad_() for x in whole]
    rows, masks = torch.arange(WORLD * ROWS), mask.flatten()
    wanted = sigmoid(*whole, rows, masks, masks)
    wanted.backward()
    part = slice(rank * ROWS, (rank + 1) * ROWS)
    own = [x.grad[part] if x.dim() else x.grad for x in whole]
    found["single"] = [wanted.detach(), *own]


def training(rank, found):
    """A step of DDP, and one of FSDP2."""
    model = tiny_model("bottleneck", ["classification"]).train()
    batch = tiny_batch(model, {"text": [4, 2], "image": [1, 1]}, seed=rank)
    size = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    ddp = DistributedDataParallel(model)
    loss = ddp(at_step(batch, 1))["classification"].loss
    with Bytes() as sent:
        loss.backward()
    found["size"], found["ddp"] = size, {"parameters": size, **sent.found}
    model = tiny_model("bottleneck", ["classification"]).train()
    wrap.shard(model, init_device_mesh("cpu", (WORLD,)))
    blocks = [padded(block.parameters()) for block in wrap.sharded_modules(model)[1:]]
    rest = padded(model.parameters()) - sum(blocks)
    with Bytes() as sent, CommDebugMode() as counted:
        model(at_step(batch, 1))["classification"].loss.backward()
    counts = {str(op).rpartition(".")[2]: n for op, n in counted.get_comm_counts().items()}
    found["fsdp2"] = {"blocks": blocks, "rest": rest, "sent": sent.found, "counts": counts}


def padded(parameters):
    """Bytes of sharded parameters, each of whose shards has as many rows as the largest."""
    sharded = [p for p in parameters if isinstance(p, DTensor)]
    return sum(ceil(len(p) / WORLD) * WORLD * p.nbytes // len(p) for p in sharded)


def process(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=WORLD,
        timeout=timedelta(seconds=100),
    )
    found = {}
    contrastive(rank, found)
    training(rank, found)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bytes")
    multiprocessing.start_processes(process, (str(folder),), WORLD, start_method="fork")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


def test_the_keys_are_gathered_and_their_gradients_summed(found):
    for one in found:
        assert one["gather"] == {"allgather": WORLD * SIZE, "backward allreduce": WORLD * SIZE}


def test_the_keys_of_the_sigmoid_loss_make_one_round(found):
    """The keys are sent to each other process once; their gradients also return."""
    for one in found:
        size = (WORLD - 1) * SIZE + WORLD * SIZE
        assert one["sigmoid"] == {"allgather": WORLD * ROWS, "send": size, "recv": size}


def test_the_round_computes_what_one_process_computes(found):
    for one in found:
        for value, wanted in zip(one["ring"], one["single"], strict=True):
            assert wanted.any()
            torch.testing.assert_close(value, wanted, atol=1e-12, rtol=1e-12)


def test_ddp_reduces_each_gradient_once(found):
    for one in found:
        assert one["ddp"] == {"parameters": one["ddp"]["parameters"], "allreduce": one["size"]}


def test_fsdp2_gathers_blocks_twice_and_the_rest_once(found):
    """The rest stays gathered from the forward to the backward pass."""
    for one in found:
        blocks, rest = one["fsdp2"]["blocks"], one["fsdp2"]["rest"]
        sent = one["fsdp2"]["sent"]
        assert sent["allgather_base"] == 2 * sum(blocks) + rest
        assert sent["reduce_scatter_base"] == (sum(blocks) + rest) // WORLD  # what is received
        assert sent["allreduce"] == 4  # the number of labels, which the loss averages over
        assert one["fsdp2"]["counts"] == {
            "_allgather_base_": 2 * len(blocks) + 1,
            "_reduce_scatter_base_": len(blocks) + 1,
            "allreduce_": 1,
        }
