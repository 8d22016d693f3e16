"""Compare pre-training under mmtx with open_clip 3.3.0, and with its own plain forms.

Run from the project's root: ``python tests/benchmark/pretrain.py [SECTION …]``, after
``pip install open_clip_torch==3.3.0`` and with MMTX_TEST_DATA set. Takes some minutes, on one
thread. The two sides of a ratio take turns, A B B A.
"""

import argparse
import sys
import warnings
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from mmtx_cli.distributed.openmp import set_waiting  # noqa: E402

set_waiting()  # as the command does; for both sides

import torch  # noqa: E402
from pretrain_cached import cached  # noqa: E402
from pretrain_loss import loss  # noqa: E402
from pretrain_masked import masked  # noqa: E402
from pretrain_recall import recall  # noqa: E402
from pretrain_step import step  # noqa: E402

SECTIONS = {"step": step, "loss": loss, "recall": recall, "masked": masked, "cached": cached}
"""Each is given the number of rounds, or 0 for its own."""


def main() -> None:
    """Every section, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all, if none")
    parser.add_argument("--rounds", type=int, default=0, help="default: each section's own")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    for section in options.sections or SECTIONS:
        SECTIONS[section](options.rounds)


if __name__ == "__main__":
    main()
