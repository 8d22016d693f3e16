"""Contrastive losses in pieces against open_clip's, which hold the logits of all pairs.

Forward and backward of 8,192 pairs of embeddings, 512 wide: time, peak memory, and how far the
loss and the gradients differ.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import torch  # noqa: E402
from paired import paired_ratio, verdict  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from mmtx_cli.layer.contrastive_loss import infonce, sigmoid  # noqa: E402

PAIRS, WIDTH = 8192, 512
FORMS = ("infonce", "sigmoid")


def given(pairs: int) -> list[Tensor]:
    """Embeddings of which those of a pair are somewhat alike; scale and bias."""
    random = torch.Generator().manual_seed(0)
    a = torch.randn(pairs, WIDTH, generator=random)
    b = a + 2 * torch.randn(pairs, WIDTH, generator=random)
    leaves = [F.normalize(a, dim=1), F.normalize(b, dim=1), torch.tensor(14.0), torch.tensor(-8.0)]
    return [x.requires_grad_() for x in leaves]


def ours(form: str, a: Tensor, b: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """As the contrastive head does."""
    rows, every = torch.arange(len(a)), torch.ones(len(a), dtype=torch.bool)
    if form == "sigmoid":
        return sigmoid(a, b, scale, bias, rows, every, every) / len(a)
    return infonce(a, b, scale, rows, every, every) / len(a)


def theirs(form: str, a: Tensor, b: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """open_clip's."""
    from open_clip.loss import ClipLoss, SigLipLoss

    if form == "sigmoid":
        return SigLipLoss()(a, b, scale, bias)  # type: ignore[no-any-return]
    return ClipLoss()(a, b, scale)  # type: ignore[no-any-return]


SIDES: dict[str, Callable[..., Tensor]] = {"ours": ours, "theirs": theirs}


def learned(side: str, form: str, leaves: list[Tensor]) -> list[Tensor]:
    """The loss and the gradients."""
    used = leaves if form == "sigmoid" else leaves[:3]
    loss = SIDES[side](form, *leaves)
    return [loss.detach(), *torch.autograd.grad(loss, used)]


def peak(side: str, form: str) -> int:
    """Peak memory of one step in kB, above what there is before: in a process of its own."""
    command = [sys.executable, __file__, side, form]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(side: str, form: str) -> None:
    """Print it for this process."""
    torch.set_num_threads(1)
    learned(side, form, given(64))  # libraries and their buffers
    leaves = given(PAIRS)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = highest()
    learned(side, form, leaves)
    print(highest() - before)


def highest() -> int:
    """The peak of this process' memory in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def loss(rounds: int) -> None:
    """Print differences and ratios of each form."""
    leaves = given(PAIRS)
    for form in FORMS:
        pairs = zip(*(learned(side, form, leaves) for side in SIDES), strict=True)
        apart = [((x - y).norm() / y.norm()).item() for x, y in pairs]
        print(f"{form}: largest relative difference, of loss and gradients: {max(apart):.1e}")
        peaks = [peak(side, form) for side in SIDES]
        print(
            f"{form}: peak memory {peaks[0] / 1e3:.0f} MB against {peaks[1] / 1e3:.0f} MB: "
            f"{peaks[0] / peaks[1]:.3f}; target: at most 0.1"
        )
        sides = [lambda s=s, f=form: learned(s, f, leaves) and None for s in SIDES]
        verdict(
            f"{form}, time mmtx / open_clip", paired_ratio(*sides, rounds or 9)[1], at_most=1.15
        )


if __name__ == "__main__":
    measure(*sys.argv[1:])
