"""A training run, from its configuration to the model folder, the result and the report."""

import sys
import time
from collections.abc import Mapping, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.distributed.ranks import is_first_process
from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.io.atomic import own_folder, write_json
from mmtx_cli.io.checkpoint import load_checkpoint, read_weights, save_folder
from mmtx_cli.io.redact import redacted
from mmtx_cli.model.initialize import check_stored, load_initial
from mmtx_cli.runs.feature_cache import check_cache, open_cache
from mmtx_cli.runs.resolve import change, plain_config, preparation_of, prepared, sections
from mmtx_cli.runs.resume import run_settings
from mmtx_cli.runs.run_dir import check_not_trained, open_run
from mmtx_cli.suggest import nearest


def run(cfg: DictConfig) -> None:
    """Train, and write checkpoints, metrics, the model folder and the report to the run folder."""
    cfg, stored, fresh = prepared(cfg)
    check_not_trained(cfg)
    train(cfg, stored, fresh)


def train(cfg: DictConfig, stored: Mapping[str, Any] | None, fresh: Set[str]) -> None:
    """Build data and model, train, and write the outputs.

    Encoders in ``fresh`` have their own pretrained weights, which those of ``ckpt`` do not replace.
    """
    from mmtx_cli.data.corpus import build_data
    from mmtx_cli.data.quarantine import Quarantine
    from mmtx_cli.runs.data_changes import check_data_unchanged, row_digests
    from mmtx_cli.runs.precomputed_features import set_feature_statistics
    from mmtx_cli.training.coverage import check_modalities_occur, training_data
    from mmtx_cli.training.divergence import DivergenceGuard
    from mmtx_cli.training.module import TrainingModule
    from mmtx_cli.training.optimizer import make_optimizer
    from mmtx_cli.training.trainer import RunLength, fit, make_trainer

    begun = time.perf_counter()
    settings = sections(cfg)
    data, trainer_settings = settings["data"], settings["trainer"]
    preparation = preparation_of(cfg, data)
    # the original weights may be gone when a run is resumed: the checkpoint has the encoder's own
    encoder = stored["model"]["encoder"] if cfg.resume and stored else cfg.encoder
    corpus = build_data(data, preparation, cfg.seed, stored, encoder.get("text"), cfg.head)
    check_modalities_occur([name for name, node in encoder.items() if node], corpus)
    corpus.cache = open_cache(cfg)
    cfg.update(corpus.facts())
    config = plain_config(cfg, data, asdict(corpus.preparation), corpus)
    config["run"] = run_settings(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    config["rows"] = row_digests(corpus.manifest.samples)
    if cfg.resume:
        config["model"]["encoder"] = encoder
        before = (stored or {}).get("rows") or {}
        check_data_unchanged(before, config["rows"], corpus.manifest.path, cfg.allow_changed_data)
    trusted = tuple(cfg.trusted_packages)
    if stored is not None:
        source = f"{cfg.run_dir}/checkpoints/last.ckpt" if cfg.resume else cfg.ckpt
        check_stored(stored, source, trusted)
    # The run length depends on the data, the data on the heads, and the schedule on the run length.
    guard = DivergenceGuard(
        settings["trainer"].max_skipped_steps, settings["trainer"].loss_spike_factor
    )
    module = TrainingModule(
        config,
        settings["optimizer"],
        0,
        cfg.seed,
        trusted,
        tuple(cfg.freeze),
        guard,
        settings["trainer"].accumulate_grad_batches,
    )
    for group, parts in (("encoder", module.model.encoder), ("head", module.model.head)):
        for name, part in parts.items():
            change(config["model"][group][name], part.portable())
    if not cfg.resume:
        set_feature_statistics(module.model, corpus)
    make_optimizer(module.model, settings["optimizer"])  # validates its settings
    loaders = training_data(module.model, corpus, cfg.seed, 8 if trainer_settings.compile else 1)
    length = RunLength.of(trainer_settings, len(loaders.order))
    module.steps = length.steps
    if cfg.ckpt and not cfg.resume:
        load_initial(module.model, cfg.ckpt, fresh)
    if corpus.cache is not None:
        last = str(Path(cfg.run_dir) / "checkpoints" / "last.ckpt")
        weights = read_weights(last) if cfg.resume else module.model.state_dict()
        check_cache(module.model, config["model"]["encoder"], weights, corpus, cfg)
    run_dir = Path(cfg.run_dir)
    num_train, num_val = len(loaders.train), len(loaders.val or ())
    quarantine = Quarantine(
        run_dir / "quarantine.jsonl", num_train + num_val, data.max_unreadable_fraction
    )
    trainer, save = make_trainer(
        trainer_settings,
        settings["logger"],
        run_dir,
        length,
        len(loaders.order),
        quarantine,
        str(cfg.command),
    )
    save.begun = begun
    if cfg.resume and (made := finished_steps(run_dir)) >= length.steps:
        print(f"the run is already finished ({made} steps)", file=sys.stderr)
        print(run_dir)
        return
    check_monitor(trainer_settings, module.model.head)
    loaders.check_world(trainer.world_size)
    open_run(cfg)  # only now: a run that cannot start leaves no folder behind
    for logger in trainer.loggers:
        logger.log_hyperparams(redacted(OmegaConf.to_container(cfg, resolve=True)))
    announce(run_dir, module.model, num_train, num_val, length)
    tell_what_is_cut(loaders.train)
    resume = save.last_path if cfg.resume else None
    fit(trainer, module, loaders, length, trainer_settings, resume)
    if is_first_process():
        finish(cfg, config, module, save)


def finished_steps(run_dir: Path) -> int:
    """Return the steps of a finished run; 0 if it has no ``result.json``.

    Raises:
        CheckpointError: if its last checkpoint holds no step count.
    """
    if not (run_dir / "result.json").is_file():
        return 0
    last = run_dir / "checkpoints" / "last.ckpt"
    step = load_checkpoint(last).get("global_step")
    if type(step) is not int:
        raise CheckpointError(f"{last}: contains no valid step count (global_step)")
    return step


def check_monitor(settings: Any, heads: Any) -> None:
    """Raise ConfigError if ``trainer.monitor`` is not a logged metric."""
    known = ["val/loss"]
    known += [
        f"val/{n}/{figure}" for n, head in heads.items() for figure in ("loss", *head.figures)
    ]
    if settings.monitor not in known:
        raise ConfigError(
            f"trainer.monitor: unknown metric {settings.monitor!r}; "
            f"{nearest(settings.monitor, known, True)}"
        )


def announce(run_dir: Path, model: Any, train: int, val: int, length: Any) -> None:
    """Print the size of the model, the data and the run; warn if there are no validation samples.

    Args:
        run_dir: Run folder.
        model: The model.
        train: Number of training samples.
        val: Number of validation samples.
        length: Run length.
    """
    if is_first_process():
        number = sum(p.numel() for p in model.parameters())
        free = sum(p.numel() for p in model.parameters() if p.requires_grad)
        print(
            f"{number / 1e6:.2f} M parameters ({free / 1e6:.2f} M trained), {train} training and "
            f"{val} validation samples, {length.steps} steps; run folder {run_dir}",
            flush=True,
        )
        if not val:
            print(
                "no validation samples: best.ckpt and early stopping need them; add rows with "
                "split=val to the manifest, or set data.split",
                file=sys.stderr,
            )


def tell_what_is_cut(samples: Any) -> None:
    """Print how texts are truncated and how images, videos and audio are cropped or shortened."""
    if is_first_process():
        cut = [f"{said}; increase max_length to avoid truncation" for said in samples.cut_texts()]
        for said in (*cut, *samples.cropped(), *samples.shortened()):
            print(said, file=sys.stderr)


def finish(cfg: DictConfig, config: dict[str, Any], module: Any, save: Any) -> None:
    """Write the model folder (with the best weights), the result and the report.

    Args:
        cfg: Configuration of the run.
        config: Plain config, stored with the weights.
        module: The trained module.
        save: The checkpoint callback, which knows the best checkpoint and the training time.
    """
    from mmtx_cli.report.html import write_report
    from mmtx_cli.report.terminal import print_costs
    from mmtx_cli.runs.profile import parameter_counts, peak_memory

    run_dir = Path(cfg.run_dir)
    best = save.best_path if save.best is not None else None
    weights = read_weights(str(best)) if best else module.model.state_dict()
    save_folder(own_folder(run_dir / "model"), config, weights)
    metrics = {cfg.trainer.get("monitor", "val/loss"): save.best} if best else {}
    count = len(module.trainer.datamodule.train)
    result = {
        "command": cfg.command,
        "metrics": metrics,
        "count": count,
        "val_count": len(module.trainer.datamodule.val or ()),
        "steps": module.trainer.global_step,
        "seconds": round(save.seconds, 3),
        "peak_memory_mb": peak_memory(),
        "cost": parameter_counts(module.model),
    }
    write_json(run_dir / "result.json", result)
    # training writes no predictions: any in a resumed folder are untrusted and may name other files
    write_report(run_dir, gallery=0)
    print_costs(result)
    print(run_dir)
