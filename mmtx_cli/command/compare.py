"""``mmtx compare``: which of several configurations is better, by how much, and at what cost."""

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from glob import glob
from pathlib import Path
from statistics import fmean

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.command.group import Group, grouped
from mmtx_cli.command.measured import COSTS, Measured, measured
from mmtx_cli.config.conf_tree import choices
from mmtx_cli.config.unknown_keys import refuse_foreign_keys
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.atomic import write_json
from mmtx_cli.io.quoting import quoted
from mmtx_cli.metric.direction import has_direction, lower_is_better
from mmtx_cli.runs.run_dir import open_run
from mmtx_cli.runs.stored_settings import settings_of
from mmtx_cli.suggest import nearest

PLANS = ("fusions",)
MAIN = ("accuracy", "cider", "mae", "f1_micro", "image_to_text_r1", "text_to_image_r1")
"""What a comparison is about unless ``metric`` says otherwise: the first that there is."""


def run(cfg: DictConfig) -> None:
    """Evaluate every run on the same samples; leave the comparison as Markdown, CSV and HTML.

    Raises:
        ConfigError: if there is nothing to compare, or a name is none.
        DataError: if a run is not finished.
    """
    from mmtx_cli.metric.run_comparison import compare
    from mmtx_cli.report.comparison import NOTE, Comparison, legend, table, write_comparison
    from mmtx_cli.report.terminal import print_comparison

    refuse_foreign_keys(cfg, "compare")
    check(cfg)
    if not cfg.plan:  # tells of what cannot be compared before it takes its time
        chosen_baseline(groups_of(given(cfg.runs)), cfg.baseline)
    run_dir = open_run(cfg)
    folders = swept(cfg, run_dir) if cfg.plan else given(cfg.runs)
    chosen = groups_of(folders)
    baseline = chosen_baseline(chosen, cfg.baseline).name
    groups: dict[str, list[Measured]] = {}
    for i, (folder, group) in enumerate(zip(folders, chosen, strict=True)):
        place = evaluated(folder, cfg, run_dir / "eval" / f"{i:03d}")
        groups.setdefault(group.name, []).append(measured(folder, place))
    metric = chosen_metric([one for runs in groups.values() for one in runs], cfg.metric)
    compared = compare(
        {name: [r.metrics[metric] for r in runs] for name, runs in groups.items()},
        {name: [r.values(metric) for r in runs] for name, runs in groups.items()},
        baseline,
        cfg.bootstrap,
        cfg.seed,
    )
    if not has_direction(metric):
        print(
            f"metric={metric}: whether more of it is better is not known; the highest stands first",
            file=sys.stderr,
        )
    sign = 1 if lower_is_better(metric) else -1
    comparison = Comparison(
        metric,
        baseline,
        sorted(compared, key=lambda group: sign * group.mean),
        {name: mean_cost(runs) for name, runs in groups.items()},
        {group.name: group.settings for group in chosen},
    )
    page = write_comparison(run_dir, comparison)
    if len(groups) == 1:
        print("the runs differ in nothing but the seed: they are one group", file=sys.stderr)
    count = len(folders)
    result = {"command": "compare", "metric": metric, "baseline": baseline, "count": count}
    write_json(run_dir / "result.json", result)
    print_comparison(*table(comparison), legend(comparison))
    print(NOTE)
    print(f"open the page: {page}")
    print(run_dir)


def check(cfg: DictConfig) -> None:
    """Tell what is wrong before anything is trained."""
    faults = []
    if bool(cfg.runs) == bool(cfg.plan):
        faults.append("runs: give finished runs, runs='[runs/a,runs/b]', or plan=fusions")
    if cfg.plan and cfg.plan not in PLANS:
        faults.append(f"plan={cfg.plan}: there is no such plan; there are: {', '.join(PLANS)}")
    for name in cfg.fusions or ():
        if name not in choices("fusion"):
            faults.append(f"fusions: there is no {name!r}; {nearest(name, choices('fusion'))}")
    if type(cfg.jobs) is not int or cfg.jobs < 1:
        faults.append(f"jobs={cfg.jobs}: write how many runs to train at a time, 1 or more")
    if cfg.plan and not cfg.args:
        faults.append("args: what is trained? e.g. \"args=['experiment=avdigits']\"")
    if faults:
        raise ConfigError(*faults)


def given(patterns: Sequence[str]) -> list[Path]:
    """The run folders that patterns name, each once, in their order."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        places = sorted(glob(os.path.expanduser(pattern)))
        folders = [Path(place) for place in places if (Path(place) / "config.yaml").is_file()]
        if not folders:
            raise ConfigError(f"runs: {pattern}: there is no run folder of that name")
        found |= dict.fromkeys(folders)
    return [*found]


def swept(cfg: DictConfig, run_dir: Path) -> list[Path]:
    """Train every fusion with every seed; what an earlier attempt has finished is kept.

    Each is a process of its own, so that its memory is its own, and its end not ours.
    """
    from mmtx_cli.command.sweep import Run, run_all

    names = list(cfg.fusions or choices("fusion"))
    folder_of = {(n, s): run_dir / "runs" / f"{n}-{s}" for s in cfg.seeds for n in names}
    todo = {run: path for run, path in folder_of.items() if not (path / "result.json").is_file()}
    check_runs(cfg, list(dict.fromkeys(name for name, _ in todo)))
    trusted = [f"trusted_packages=[{','.join(cfg.trusted_packages)}]"] * bool(cfg.trusted_packages)
    runs = []
    for (name, seed), folder in todo.items():
        settings = [f"fusion={name}", f"seed={seed}", f"run_dir={quoted(folder)}", *trusted]
        if (folder / "checkpoints" / "last.ckpt").is_file():
            settings.append("resume=true")
        command = [sys.executable, "-m", "mmtx_cli", "finetune", *cfg.args, *settings]
        folder.parent.mkdir(exist_ok=True)
        runs.append(Run(f"fusion={name} seed={seed}", command, folder.with_suffix(".log")))
    run_all(runs, cfg.jobs)
    return [folder_of[name, seed] for name in names for seed in cfg.seeds]


def check_runs(cfg: DictConfig, names: Sequence[str]) -> None:
    """Tell what is wrong with the settings of any run before the first one begins."""
    from hydra import compose

    from mmtx_cli.config.overrides import opened
    from mmtx_cli.runs import resolve

    faults = []
    for name in names:
        own = compose("finetune", opened([*cfg.args, f"fusion={name}"]))
        OmegaConf.set_struct(own, False)
        own.trusted_packages = cfg.trusted_packages
        try:
            resolve.prepared(own)
        except ConfigError as error:
            faults += [f"args, with fusion={name}: {fault}" for fault in error.faults]
    if faults:
        raise ConfigError(*faults)


def evaluated(folder: Path, cfg: DictConfig, into: Path) -> Path:
    """Evaluate a run on the split that is compared, unless that is done."""
    from hydra import compose

    from mmtx_cli.command import eval
    from mmtx_cli.config.overrides import opened

    if not (into / "result.json").is_file():
        settings = [f"ckpt={quoted(folder)}", f"split={cfg.split}", "cost=true"]
        own = compose("eval", opened([*settings, f"run_dir={quoted(into)}"]))
        OmegaConf.set_struct(own, False)
        own.trusted_packages = cfg.trusted_packages
        with redirect_stdout(sys.stderr):
            eval.run(own)
    return into


def groups_of(folders: Sequence[Path]) -> list[Group]:
    """The group of each run: those that differ in their seed alone have the same.

    Raises:
        ConfigError: if there is but one run.
    """
    if len(folders) < 2:
        raise ConfigError("runs: one run alone: there is nothing to compare; name several")
    return grouped([settings_of(folder) for folder in folders])


def chosen_metric(runs: Sequence[Measured], wanted: str | None) -> str:
    """The metric that is asked for, or the main one; all runs must have it."""
    shared = [name for name in runs[0].metrics if all(name in r.metrics for r in runs)]
    if wanted is None:
        main = [m for end in MAIN for m in shared if m.rpartition("/")[2] == end]
        if not shared:
            raise ConfigError("runs: they have no metric in common")
        return (main or shared)[0]
    if wanted not in shared:
        raise ConfigError(f"metric={wanted}: not every run has it; {nearest(wanted, shared)}")
    return wanted


def chosen_baseline(groups: Sequence[Group], wanted: str | None) -> Group:
    """A group by its name, by a setting that it alone has, or by the value of that.

    ``fusion=concat`` and ``concat`` are both ``fusion=concat``.
    """
    by_name = {group.name: group for group in groups}
    if wanted is None:
        return groups[0]
    if wanted in by_name:
        return by_name[wanted]
    found = [
        group
        for group in by_name.values()
        if any(wanted in (value, f"{key}={value}") for key, value in group.settings.items())
    ]
    if len(found) != 1:
        fault = "is none of" if not found else "is more than one of"
        raise ConfigError(f"baseline={wanted}: {fault} {'; '.join(by_name)}")
    return found[0]


def mean_cost(group: Sequence[Measured]) -> dict[str, float | None]:
    """Mean over the runs of what each cost; None where one does not know."""
    costs: dict[str, float | None] = {}
    for name in COSTS:
        known = [value for one in group if (value := one.cost[name]) is not None]
        costs[name] = fmean(known) if len(known) == len(group) else None
    return costs
