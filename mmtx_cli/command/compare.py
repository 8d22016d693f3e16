"""``mmtx compare``: compare configurations by a metric, with intervals, and by cost."""

import sys
from contextlib import redirect_stdout
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.comparison.fusion_sweep import FusionSweep, run_sweep
from mmtx_cli.comparison.run_results import (
    Measured,
    find_runs,
    groups_of,
    mean_cost,
    read_results,
    select_baseline,
    select_metric,
)
from mmtx_cli.config.composition.compose import compose_command
from mmtx_cli.config.conf_tree import choices
from mmtx_cli.config.unknown_keys import check_known_keys
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.atomic import write_json
from mmtx_cli.io.quoting import quoted
from mmtx_cli.metric.direction import has_direction, lower_is_better
from mmtx_cli.runs.run_dir import open_run
from mmtx_cli.suggest import suggest

SWEEPS = ("fusions",)


def run(cfg: DictConfig) -> None:
    """Evaluate all runs on the same samples; write the comparison as Markdown, CSV and HTML.

    Raises:
        ConfigError: if there is nothing to compare, or a name is unknown.
        DataError: if a run is not finished.
    """
    from mmtx_cli.metric.run_comparison import compare
    from mmtx_cli.report.comparison import NOTE, Comparison, legend, table, write_comparison
    from mmtx_cli.report.terminal import print_comparison

    check_known_keys(cfg, "compare")
    check(cfg)
    if not cfg.sweep:  # fail early if the runs cannot be compared
        select_baseline(groups_of(find_runs(cfg.runs)), cfg.baseline)
    run_dir = open_run(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    folders = run_sweep(sweep_of(cfg), run_dir) if cfg.sweep else find_runs(cfg.runs)
    run_groups = groups_of(folders)
    baseline = select_baseline(run_groups, cfg.baseline).name
    groups: dict[str, list[Measured]] = {}
    for i, (folder, group) in enumerate(zip(folders, run_groups, strict=True)):
        result_dir = evaluate_run(folder, cfg, run_dir / "eval" / f"{i:03d}")
        groups.setdefault(group.name, []).append(read_results(folder, result_dir))
    metric = select_metric([results for runs in groups.values() for results in runs], cfg.metric)
    compared = compare(
        {name: [r.metrics[metric] for r in runs] for name, runs in groups.items()},
        {name: [r.values(metric) for r in runs] for name, runs in groups.items()},
        baseline,
        cfg.bootstrap,
        cfg.seed,
    )
    if not has_direction(metric):
        print(
            f"metric={metric}: unknown whether higher is better; sorted from high to low",
            file=sys.stderr,
        )
    sign = 1 if lower_is_better(metric) else -1
    comparison = Comparison(
        metric,
        baseline,
        sorted(compared, key=lambda group: sign * group.mean),
        {name: mean_cost(runs) for name, runs in groups.items()},
        {group.name: group.settings for group in run_groups},
    )
    page = write_comparison(run_dir, comparison)
    if len(groups) == 1:
        print("the runs differ only in their seed, and form one group", file=sys.stderr)
    count = len(folders)
    result = {"command": "compare", "metric": metric, "baseline": baseline, "count": count}
    write_json(run_dir / "result.json", result)
    print_comparison(*table(comparison), legend(comparison))
    print(NOTE)
    print(f"report: {page}")
    print(run_dir)


def check(cfg: DictConfig) -> None:
    """Raise ConfigError for invalid settings before anything is trained."""
    faults = []
    if bool(cfg.runs) == bool(cfg.sweep):
        faults.append("runs: set either finished runs, runs='[runs/a,runs/b]', or sweep=fusions")
    if cfg.sweep and cfg.sweep not in SWEEPS:
        faults.append(f"sweep={cfg.sweep}: unknown sweep; choose from: {', '.join(SWEEPS)}")
    for name in cfg.fusions or ():
        if name not in choices("fusion"):
            faults.append(f"fusions: unknown fusion {name!r}; {suggest(name, choices('fusion'))}")
    if type(cfg.jobs) is not int or cfg.jobs < 1:
        faults.append(f"jobs={cfg.jobs}: must be at least 1 (number of runs to train at a time)")
    if cfg.sweep and not cfg.train_args:
        faults.append(
            "train_args: required with sweep; set e.g. \"train_args=['experiment=avdigits']\""
        )
    if faults:
        raise ConfigError(*faults)


def sweep_of(cfg: DictConfig) -> FusionSweep:
    """Return the runs to train first."""
    names = tuple(cfg.fusions or choices("fusion"))
    return FusionSweep(
        names, tuple(cfg.seeds), tuple(cfg.train_args), cfg.jobs, tuple(cfg.trusted_packages)
    )


def evaluate_run(folder: Path, cfg: DictConfig, result_dir: Path) -> Path:
    """Evaluate a run on the compared split, unless it has been done; return the result's folder."""
    from mmtx_cli.command import eval

    if not (result_dir / "result.json").is_file():
        settings = [f"ckpt={quoted(folder)}", f"split={cfg.split}", "profile=true"]
        settings.append(f"run_dir={quoted(result_dir)}")
        eval_cfg = compose_command("eval", settings, cfg.trusted_packages)
        with redirect_stdout(sys.stderr):
            eval.run(eval_cfg)
    return result_dir
