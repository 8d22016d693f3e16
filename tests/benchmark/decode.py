"""Compare decoding under mmtx with the libraries it uses, used in the plain documented way.

Run from the project's root: ``python tests/benchmark/decode.py [video pictures sound memory]``.
Takes about five minutes. The two sides of a ratio take turns, A B B A, on the same files.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from decode_memory import memory  # noqa: E402
from decode_pictures import pictures  # noqa: E402
from decode_sound import sound  # noqa: E402
from decode_video import video  # noqa: E402

SECTIONS = {"video": video, "pictures": pictures, "sound": sound, "memory": memory}
"""Each is given a temporary folder and the number of rounds."""


def main() -> None:
    """Every section, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all, if none")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)  # as in a loader's worker
    for section in options.sections or SECTIONS:
        with tempfile.TemporaryDirectory() as folder:
            SECTIONS[section](Path(folder), options.rounds)


if __name__ == "__main__":
    main()
