"""Time and memory of the whole ``mmtx score`` from raw text, and the time of pycocoevalcap.

Run from the project's root: ``python tests/benchmark/score_command.py``. BLEU-1 to 4, ROUGE-L and
CIDEr-D of captions with 5 references each, drawn from the grammar of ``score.py`` and written as
COCO files; a process a run. A run on a few captions comes first and writes the compiled modules,
which an installed package has. pycocoevalcap runs with its Java tokenizer where there is Java.
``--samples 100000`` gives the memory of a large set; ``--alone`` leaves pycocoevalcap out.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from score import corpus, theirs  # noqa: E402


def written(samples: int, references: int, folder: Path) -> tuple[list[str], list[list[str]]]:
    """Write the two files, and return the captions."""

    def sentence(tokens: list[str]) -> str:
        return " ".join(tokens).capitalize() + "."

    tokens, others = corpus(samples, references)
    candidates = [sentence(own) for own in tokens]
    texts = [[sentence(own) for own in each] for each in others]
    annotations = [
        {"id": i, "image_id": i // references, "caption": text}
        for i, text in enumerate(text for own in texts for text in own)
    ]
    images = [{"id": i} for i in range(samples)]
    results = [{"image_id": i, "caption": text} for i, text in enumerate(candidates)]
    (folder / "refs.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    (folder / "predictions.json").write_text(json.dumps(results))
    return candidates, texts


def run(folder: Path, compiled: Path, round_: int) -> float:
    """Run the command on the files of a folder; print and return how many seconds it took."""
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONPYCACHEPREFIX": str(compiled),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "mmtx_cli", "score", "metrics=overlap", "references=refs.json"]
    command += ["predictions=predictions.json", f"run_dir=out{round_}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, env=environment, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    memory = used.ru_maxrss / 1e6 * 1.024
    print(f"{folder.name}: {seconds:.2f} s, {busy:.2f} s of the processor, at most {memory:.2f} GB")
    return seconds


def main() -> None:
    """Print seconds, processor seconds and memory of each run of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--references", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (few := folder / "few").mkdir()
        written(10, args.references, few)
        run(few, folder / "compiled", 0)
        candidates, texts = written(args.samples, args.references, folder)
        ours = [run(folder, folder / "compiled", round_) for round_ in range(args.rounds)]
    if args.alone or shutil.which("java") is None:
        return
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    start = time.perf_counter()
    tokenizer = PTBTokenizer()
    references = {i: [{"caption": text} for text in own] for i, own in enumerate(texts)}
    predicted = {i: [{"caption": text}] for i, text in enumerate(candidates)}
    theirs(tokenizer.tokenize(references), tokenizer.tokenize(predicted))
    seconds = time.perf_counter() - start
    print(f"pycocoevalcap: {seconds:.2f} s, {seconds / statistics.median(ours):.1f} times as long")


if __name__ == "__main__":
    main()
