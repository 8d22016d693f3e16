"""METEOR 1.5 in Java, and small data for it."""

import gzip
import random
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mmtx_cli.metric.meteor.load import JAR
from tests.metric.corpora import WORDS

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no java on the PATH")
STAGES = ("exact", "stem", "synonym", "paraphrase")


def pycocoevalcap_folder():
    """Return the folder of METEOR of pycocoevalcap; skip if it is not installed."""
    spec = find_spec("pycocoevalcap")
    for path in spec.submodule_search_locations if spec else ():
        if (Path(path) / "meteor" / JAR).exists():
            return Path(path) / "meteor"
    return pytest.skip("pycocoevalcap is not installed")


def small_folder(folder, short="en", words=WORDS, pairs=400, seed=0):
    """Write a folder of METEOR 1.5 with a few paraphrases, drawn from these words."""
    draw = random.Random(seed)

    def phrase():
        return " ".join(draw.choices(words, k=draw.choice((1, 1, 2, 2, 3))))

    rows = [(phrase(), phrase()) for _ in range(pairs)]
    rows += [(right, left) for left, right in rows[: pairs // 4]]
    write_table(folder, short, rows)
    shutil.copy(pycocoevalcap_folder() / JAR, folder / JAR)
    return folder


def write_table(folder, short, rows):
    """Write a table of paraphrases as METEOR does."""
    (folder / "data").mkdir(exist_ok=True)
    with gzip.open(folder / "data" / f"paraphrase-{short}.gz", "wt", encoding="utf-8") as file:
        file.writelines(f"0.5\n{phrase}\n{other}\n" for phrase, other in rows if phrase != other)


def java_meteor(folder, options, candidates, references):
    """Return what METEOR in Java makes of tokens.

    Returns:
        Statistics of each sample [n, 23], the score of each, and that of the corpus.
    """
    command = ["java", "-Dfile.encoding=UTF-8", "-jar", "-Xmx2G", JAR, "-", "-", "-stdio", *options]
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        encoding="utf-8",
    ) as process:  # fmt: skip

        def answer(line):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        lines = [
            answer(" ||| ".join(["SCORE", *map(" ".join, own), " ".join(candidate)]))
            for candidate, own in zip(candidates, references, strict=True)
        ]
        scores = [float(answer(" ||| ".join(["EVAL", *lines])))]
        scores += [float(process.stdout.readline()) for _ in lines]
        process.stdin.close()
    return np.array([line.split() for line in lines], dtype=float), scores[:-1], scores[-1]


def java_statistics(scores, stages):
    """Return our statistics as METEOR in Java writes them; chunks of one whole match are 0."""
    counts = scores.statistics[:, 5:].reshape(len(scores), len(STAGES), 4)
    own = np.zeros_like(counts)
    own[:, : len(stages)] = counts[:, [STAGES.index(stage) for stage in stages]]
    matched = counts.reshape(len(scores), -1, 2).sum(axis=1)
    lengths = scores.statistics[:, :4]
    return np.concatenate(
        [lengths, own.reshape(len(scores), -1), scores.statistics[:, 4:5], matched], axis=1
    )


def assert_same(scores, stages, theirs):
    """Compare all counts, and the scores up to the rounding of their last digit."""
    statistics, per_sample, total = theirs
    statistics = statistics.copy()
    whole = (statistics[:, -2:] == statistics[:, :2]).all(axis=1) & (statistics[:, -3] == 1)
    statistics[whole, -3] = 0
    np.testing.assert_array_equal(java_statistics(scores, stages), statistics)
    np.testing.assert_allclose(scores.per_sample["meteor"], per_sample, rtol=0, atol=1e-14)
    assert scores.metrics()["meteor"] == pytest.approx(total, rel=0, abs=1e-13)
