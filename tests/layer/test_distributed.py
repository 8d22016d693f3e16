import pytest
import torch
from torch import multiprocessing

from mmtx_cli.layer.distributed import gather, global_mean, rank, world_size

from .distributed_cases import CASES, WORLD, process, single

pytestmark = pytest.mark.xdist_group("processes")  # so that they are started once


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each process ends with, in every case."""
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(process, (str(folder),), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_would(found, case):
    wanted = single()[case]
    for own in found:
        assert own[case].keys() == wanted.keys()
        for name, value in wanted.items():
            torch.testing.assert_close(
                own[case][name],
                value,
                atol=1e-5,
                rtol=1e-5,
                msg=lambda m, name=name: f"{name}: {m}",
            )


def test_alone_everything_stays_here():
    assert (world_size(), rank()) == (1, 0)
    x = torch.randn(3, 2)
    assert gather(x, shared=True) is x
    mean = global_mean(torch.tensor(6.0), torch.tensor(4), shared=True)
    assert mean.item() == 1.5
    assert global_mean(torch.tensor(0.0), torch.tensor(0), shared=True).item() == 0
