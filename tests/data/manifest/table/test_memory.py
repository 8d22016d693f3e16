"""Memory of a table that several processes read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = 300_000

SCRIPT = '''
import gc, itertools, json, os, re, sys
from multiprocessing import get_context
from mmtx_cli.data.manifest.read import read_manifest

def private_megabytes():
    """Memory that this process shares with no other, and that is no copy of a file."""
    text = open("/proc/self/smaps_rollup").read()
    return int(re.search(r"Private_Dirty: +(\\d+)", text)[1]) / 1024

def read(samples, count):
    number = sum(len(sample.captions) for sample in itertools.islice(samples, count))
    return number + sum(len(samples[i].captions) for i in range(0, count, 7))

def growth(samples, pipe):
    gc.disable()  # it would touch all objects of a forked process
    read(samples, len(samples) // 5)  # imports, and the memory of some blocks of samples
    before = private_megabytes()
    number = read(samples, len(samples))
    pipe.send((number, private_megabytes() - before))

def measured(samples, method):
    ours, theirs = get_context(method).Pipe()
    process = get_context(method).Process(target=growth, args=(samples, theirs))
    process.start()
    found = ours.recv()
    process.join()
    return found

if __name__ == "__main__":
    import pyarrow.compute
    before = private_megabytes()
    view = read_manifest(sys.argv[1]).samples[::2]
    opened = private_megabytes() - before
    forked, spawned = measured(view, "fork"), measured(view, "spawn")
    print(json.dumps([opened, forked, spawned, measured(list(view), "fork")]))
'''


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux counts pages")
def test_workers_do_not_copy_a_table(tmp_path):
    path = tmp_path / "m.jsonl"
    with path.open("w") as file:
        for i in range(ROWS):
            row = {"id": f"r{i}", "split": "train", "captions": [f"a caption of row {i}"]}
            file.write(json.dumps(row) + "\n")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = os.environ | {"MMTX_MANIFEST_CACHE": str(tmp_path / "cache"), "PYTHONPATH": os.getcwd()}
    run = [sys.executable, str(script), str(path)]
    subprocess.run(run, env=env, check=True, capture_output=True)  # the first reading
    done = subprocess.run(run, env=env, check=True, capture_output=True, text=True)
    opened, forked, spawned, listed = json.loads(done.stdout)
    # pyarrow imports pandas, about 30; a list of 300,000 samples takes about 300
    assert opened < 60
    texts = ROWS // 2 + -(-ROWS // 14)
    assert forked[0] == spawned[0] == listed[0] == texts
    assert forked[1] < 12
    assert spawned[1] < 12
    # the check itself: touching Python objects copies them, since it counts references
    assert listed[1] > 18
