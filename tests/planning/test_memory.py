import resource
import subprocess
import sys
from pathlib import Path

from mmtx_cli.planning.memory import available_memory, high_water, resident

MEMINFO = "MemTotal:  8000 kB\nMemFree: 10 kB\nMemAvailable:   4000 kB\n"
UNLIMITED = resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def machine(folder: Path, groups: str, files: dict[str, str]) -> int | None:
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "meminfo").write_text(MEMINFO)
    (folder / "proc" / "self" / "cgroup").write_text(groups)
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return available_memory(folder / "proc", folder / "cgroup")


def group(folder: str, most: str, used: str, cache: str = "inactive_file 0") -> dict[str, str]:
    names = {"memory.max": most, "memory.current": used, "memory.stat": f"anon 7\n{cache}\n"}
    return {f"{folder}/{name}": text for name, text in names.items()}


def test_machine_without_groups(tmp_path: Path):
    assert machine(tmp_path, "", {}) == 4000 * 1024


def test_limit_of_the_group(tmp_path: Path):
    files = group("a/b", "1000000\n", "400000\n", "inactive_file 100000")
    assert machine(tmp_path, "0::/a/b\n", files) == 700_000


def test_limit_of_a_group_above(tmp_path: Path):
    files = group("a/b", "max\n", "400000\n") | group("a", "900000\n", "500000\n")
    assert machine(tmp_path, "0::/a/b\n", files) == 400_000


def test_limit_of_a_container_whose_path_is_not_visible(tmp_path: Path):
    files = {
        name.removeprefix("/"): text for name, text in group("", "600000\n", "500000\n").items()
    }
    assert machine(tmp_path, "0::/docker/abc\n", files) == 100_000


def test_first_version_of_control_groups(tmp_path: Path):
    files = {
        "memory/a/memory.limit_in_bytes": "800000",
        "memory/a/memory.usage_in_bytes": "300000",
        "memory/a/memory.stat": "total_inactive_file 50000\n",
        "memory/memory.limit_in_bytes": str(2**63 - 4096),
        "memory/memory.usage_in_bytes": "10",
        "memory/memory.stat": "total_inactive_file 0\n",
    }
    assert machine(tmp_path, "4:cpu:/x\n3:memory:/a\n", files) == 550_000


def test_limit_of_the_process():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28));"
        "from mmtx_cli.planning.memory import available_memory; print(available_memory())"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert 0 < int(shown.stdout) < 2**28


def test_high_water_is_at_least_what_is_resident():
    assert 0 < (resident() or 0) <= (high_water() or 0)
