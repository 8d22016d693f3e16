"""Settings of each config section: names, types and defaults.

The configuration holds only values that differ from these. This module does not import torch, so
that configuration errors are reported immediately.
"""

from dataclasses import dataclass, field

from mmtx_cli.config.data_settings import DataSettings


@dataclass
class OptimizerSettings:
    """``optimizer``: AdamW with linear warm-up and cosine decay."""

    lr: float = 1e-3
    weight_decay: float = 0.05
    """Applied to weight matrices only, not to norms, biases, embeddings and positions."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.98])
    eps: float = 1e-8
    warmup: float = 0.05
    """Linear warm-up as a fraction of the steps (below 1) or a number of steps."""
    min_lr: float = 0.01
    """Final learning rate of the cosine decay, as a fraction of lr."""
    cycles: int = 1
    """Number of cosine cycles, each starting from lr; 2 or more are warm restarts."""
    lr_scale: dict[str, float] = field(default_factory=dict)
    """Learning rate multiplier by parameter prefix, e.g. {encoder.image: 0.1}."""
    layer_decay: float = 1.0
    """Learning rate decay from each encoder block to the one before, e.g. 0.75; 1 disables it."""


@dataclass
class EarlyStoppingSettings:
    """``trainer.early_stopping``: stop when ``trainer.monitor`` stops improving."""

    patience: int = 5
    """Number of validations without improvement before training stops."""
    min_delta: float = 0.0


@dataclass
class TrainerSettings:
    """``trainer``: training length, hardware, checkpoints and logging."""

    max_epochs: int | None = 10
    max_steps: int | None = None
    """Maximum number of optimizer steps; replaces max_epochs."""
    accelerator: str = "auto"
    devices: int | str = 1
    """Number of devices, auto, or a list of device indices such as "0,2"."""
    num_nodes: int = 1
    join_timeout: float = 600.0
    """Seconds to wait for the processes of the other nodes."""
    requeue: bool = True
    """In a SLURM job, requeue it after SIGUSR1 or SIGUSR2 has stopped the run; see resume=auto."""
    strategy: str = "auto"
    """auto, ddp (a whole model in every process) or fsdp2 (model and optimizer sharded)."""
    precision: str = "32-true"
    """32-true, bf16-mixed, 16-mixed, …"""
    accumulate_grad_batches: int = 1
    """Batches per optimizer step (gradient accumulation)."""
    gradient_clip_val: float | None = 1.0
    """Maximum gradient norm; null disables clipping."""
    compile: bool | str = False
    """torch.compile: true for the whole model; blocks for each block, which compiles faster."""
    activation_checkpointing: bool = False
    """Recompute the activations of encoder blocks in the backward pass (Chen et al. 2016)."""
    encoder_micro_batch: int | None = None
    """Samples that are encoded at a time and re-encoded in the backward pass: a contrastive loss
    covers the whole batch with the memory of a part of it (GradCache, Gao et al. 2021)."""
    max_skipped_steps: int = 0
    """Maximum number of skipped steps: those with a non-finite loss or gradient or a loss spike."""
    loss_spike_factor: float | None = None
    """A loss above this multiple of its running mean is a spike, e.g. 5."""
    ema: float | None = None
    """Decay of the exponential moving average of the weights, e.g. 0.999."""
    val_every: int | None = None
    """Optimizer steps between validations (default: one epoch)."""
    save_every: int | None = None
    """Optimizer steps between saves of last.ckpt (default: at each validation)."""
    keep_checkpoints: int = 2
    """Number of latest checkpoints to keep: last.ckpt and those before it (previous.ckpt, …)."""
    keep_every: int | None = None
    """Keep the checkpoint of every so many optimizer steps as step-N.ckpt (default: none)."""
    log_every: int = 20
    """Optimizer steps between rows of metrics.csv."""
    monitor: str = "val/loss"
    """Metric that selects best.ckpt; of equal values, the latest is kept."""
    monitor_mode: str = "min"
    early_stopping: EarlyStoppingSettings | None = None
    deterministic: bool = False
    progress: bool = True
    profile_steps: int | None = None
    """Optimizer steps to record with torch.profiler after a warm-up, e.g. 5: a trace and a summary
    in the run folder's profile/."""


@dataclass
class GenerationSettings:
    """``generation``: how captions and answers are generated, with the keys of transformers."""

    num_beams: int | None = None
    """Beams per input (default: 3, or as many as num_return_sequences); 1 is greedy."""
    length_penalty: float = 1.0
    """Exponent of the length by which the log-probability of a text is divided."""
    early_stopping: bool = False
    """Stop when as many texts as beams have ended, even if open ones could become better."""
    num_beam_groups: int = 1
    """Groups of diverse beam search (Vijayakumar et al. 2018)."""
    diversity_penalty: float = 0.0
    """What a token costs in a group for each beam of other groups that has just chosen it."""
    do_sample: bool = False
    """Draw the tokens at random; the same for an input whatever the batch, by seed."""
    temperature: float = 1.0
    top_k: int | None = None
    """Number of most probable tokens to draw from; with penalty_alpha, of candidates (4)."""
    top_p: float | None = None
    """Draw from the most probable tokens with this probability together."""
    min_p: float | None = None
    """Draw from tokens of at least this fraction of the largest probability."""
    penalty_alpha: float | None = None
    """Contrastive search (Su et al. 2022): weight of the similarity to the text so far,
    e.g. 0.6."""
    repetition_penalty: float = 1.0
    """Above 1, tokens that the text already has become less probable (Keskar et al. 2019)."""
    no_repeat_ngram_size: int = 0
    """Sequences of this many tokens occur at most once in a text; 0 allows repetitions."""
    min_new_tokens: int = 0
    """Minimum number of tokens, without the end token."""
    max_new_tokens: int | None = None
    """Maximum number of tokens, with the end token (default: max_length - 1)."""
    num_return_sequences: int = 1
    """Number of texts per input; the best one is the caption, the others are alternatives."""
    token_scores: bool = False
    """Add the probability of each word to the output."""
    include: list[str] = field(default_factory=list)
    """Words and phrases that each text contains as whole words, in any case."""
    exclude: list[str] = field(default_factory=list)
    """Words and phrases that no text contains."""
    choices: list[str] = field(default_factory=list)
    """Each text is one of these; @FILE reads them from a file, one per line."""
    regex: str | None = None
    """Regular expression that each whole text matches (syntax of Rust's regex)."""
    prefix: str | None = None
    """Words that each text begins with."""


@dataclass
class WandbSettings:
    """``logger.wandb``: log to Weights & Biases."""

    project: str = "mmtx"
    name: str | None = None
    entity: str | None = None
    offline: bool = False
    tags: list[str] = field(default_factory=list)


@dataclass
class LoggerSettings:
    """``logger``: loggers in addition to metrics.csv, which is always written."""

    wandb: WandbSettings | None = None
    tensorboard: bool = False


SECTIONS: dict[str, type] = {
    "data": DataSettings,
    "optimizer": OptimizerSettings,
    "trainer": TrainerSettings,
    "generation": GenerationSettings,
    "logger": LoggerSettings,
}

FILLED = (
    "vocab_size",
    "bos_id",
    "eos_id",
    "text_vocab_size",
    "mask_id",
    "special_ids",
    "label_names",
    "multi_label",
    "answer_names",
    "label_mean",
    "label_std",
    "feature_sizes",
)
"""Root keys that a run fills in from the data."""
