"""Assemble a training run: its data, its model and its trainer."""

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmtx_cli.data.corpus import Corpus, build_data
from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.distributed.launch import is_single_process
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.io.checkpoint import read_weights
from mmtx_cli.model.initialize import check_stored, load_initial
from mmtx_cli.runs.cached_features.feature_cache import check_cache, open_cache
from mmtx_cli.runs.data_changes import check_data_unchanged, row_digests
from mmtx_cli.runs.fallback import resumed_step
from mmtx_cli.runs.model_config import (
    make_decoder_portable,
    make_portable,
    model_config,
    trained_forms,
)
from mmtx_cli.runs.precomputed_features import set_feature_statistics
from mmtx_cli.runs.resume import run_settings
from mmtx_cli.runs.run_config import TrainConfig, with_facts
from mmtx_cli.training.callbacks.checkpoint import SaveCallback
from mmtx_cli.training.coverage import check_modalities_occur, training_data
from mmtx_cli.training.datamodule import TrainingData
from mmtx_cli.training.divergence import DivergenceGuard
from mmtx_cli.training.module import TrainingModule
from mmtx_cli.training.optimizer import make_optimizer
from mmtx_cli.training.trainer import RunLength, make_trainer


@dataclass(frozen=True)
class RunData:
    """The data of a run, and what follows from them."""

    run: TrainConfig
    """The settings, with the facts about the data."""
    corpus: Corpus
    config: dict[str, Any]
    """Plain config, stored with the weights."""


def read_data(run: TrainConfig) -> RunData:
    """Read the data; check that they suit the encoders and, of a resumed run, have not changed."""
    # the original weights may be gone when a run is resumed: the checkpoint has the encoder's own
    encoder = run.stored["model"]["encoder"] if run.resume and run.stored else run.encoder
    text_encoder = encoder.get("text")
    decoder = run.stored["model"].get("decoder") if run.resume and run.stored else run.decoder
    corpus = build_data(
        run.data,
        run.preprocessing,
        run.seed,
        run.stored,
        text_encoder,
        run.head,
        decoder=decoder,
    )
    check_modalities_occur(encoder, corpus)
    corpus = replace(corpus, cache=open_cache(run.plain))
    run = with_facts(run, corpus.config_values())
    config = model_config(run, corpus)
    config["run"] = run_settings(run.plain)
    config["rows"] = row_digests(corpus.manifest.samples)
    if run.resume:
        config["model"]["encoder"] = deepcopy(dict(encoder))
        config["model"]["decoder"] = deepcopy(decoder)
        if run.stored.get("early"):
            config["early"] = True
        before = run.stored.get("rows") or {}
        path, allowed = corpus.manifest.path, run.allow_changed_data
        check_data_unchanged(before, config["rows"], path, allowed)
    return RunData(run, corpus, config)


def build_module(source: RunData) -> TrainingModule:
    """Build the model with its initial weights, and check that it can be optimized.

    ``source.config`` then rebuilds it without pretrained weights. The number of steps is not known
    yet: it depends on the data, which depend on the heads.
    """
    run, config = source.run, source.config
    if run.stored:
        check_stored(
            run.stored, run.last_checkpoint if run.resume else str(run.ckpt), run.trusted_packages
        )
    settings = run.trainer
    module = TrainingModule(
        config,
        run.optimizer,
        0,
        run.seed,
        run.trusted_packages,
        run.freeze,
        DivergenceGuard(settings.max_skipped_steps, settings.loss_spike_factor),
        settings.accumulate_grad_batches,
    )
    make_portable(config["model"]["encoder"], module.model.encoder)
    make_portable(config["model"]["head"], module.model.head)
    make_decoder_portable(config["model"], module.model.head)
    config["model"]["head"] = trained_forms(config["model"]["head"])
    if not run.resume:
        set_feature_statistics(module.model, source.corpus)
    make_optimizer(module.model, run.optimizer)  # validates its settings
    return module


def make_loaders(source: RunData, module: TrainingModule) -> tuple[TrainingData, RunLength]:
    """Return the loaders and the length of the run, which determines the schedule."""
    run = source.run
    round_to = 8 if run.trainer.compile else 1
    loaders = training_data(module.model, source.corpus, run.seed, round_to)
    for head in module.model.head.values():
        val = loaders.val.samples if loaders.val else []
        head.begin_training(loaders.train.samples, val, source.corpus.tokenizer)
    batches = getattr(loaders.order, "batches", None)
    length = RunLength.of(run.trainer, len(loaders.order), batches)
    module.steps = length.steps
    return loaders, length


def load_weights(source: RunData, module: TrainingModule) -> None:
    """Load the weights of ``ckpt``, and check that a feature cache was made with the same ones."""
    run, corpus = source.run, source.corpus
    if run.ckpt and not run.resume:
        load_initial(module.model, run.ckpt, run.fresh)
    if corpus.cache is not None:
        weights = read_weights(run.last_checkpoint) if run.resume else module.model.state_dict()
        nodes = source.config["model"]["encoder"]
        check_cache(module.model, nodes, weights, corpus, run.plain)


def build_trainer(
    run: TrainConfig, module: TrainingModule, loaders: TrainingData, length: RunLength
) -> tuple[pl.Trainer, SaveCallback]:
    """Return the trainer, which stops at too many unreadable files, and its checkpoint callback."""
    settings = run.trainer
    decoders = [getattr(head, "decoder", None) for head in module.model.head.values()]
    if (
        settings.strategy == "auto"
        and any(getattr(decoder, "has_unused_parameters", False) for decoder in decoders)
        and not is_single_process(settings)
    ):  # else DDP fails at a trained parameter without a gradient
        settings = replace(settings, strategy="ddp_find_unused_parameters_true")
    quarantine = Quarantine(
        run.run_dir / "quarantine.jsonl",
        len(loaders.train) + len(loaders.val or ()),
        run.data.max_unreadable_fraction,
    )
    batches = len(loaders.order)
    resumed = resumed_step(Path(run.last_checkpoint)) if run.resume else 0
    return make_trainer(
        settings, run.logger, run.run_dir, length, batches, quarantine, run.command, resumed
    )
