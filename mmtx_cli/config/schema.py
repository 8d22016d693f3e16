"""Settings of each config section: names, types and defaults.

The configuration holds only values that differ from these. This module does not import torch, so
that configuration errors are reported immediately.
"""

from dataclasses import dataclass, field

MAX_IMAGE_PIXELS = 178_956_970
"""Pixels of the largest image that is decoded: 512 MiB as RGB, the limit of Pillow."""
DECODE_TIMEOUT = 30.0
DECODE_MEMORY = 1.5
"""GB: memory for an image of ``MAX_IMAGE_PIXELS`` at 8 bytes per pixel."""


@dataclass
class AugmentSettings:
    """``data.augment``: random augmentation of training images."""

    scale: list[float] = field(default_factory=lambda: [1.0, 1.0])
    """Minimum and maximum fraction of the image area that a random crop keeps."""
    flip: bool = False
    """Flip images horizontally with probability 0.5. This swaps left and right, which captions may
    mention."""
    color: float = 0.0
    """Strength of the random brightness, contrast and saturation jitter."""


@dataclass
class CorpusSettings:
    """``data.mixture``: one of its corpora."""

    name: str | None = None
    """Name of the corpus; the ids of its samples become name/id."""
    path: str | None = None
    """Manifest of the corpus."""
    weight: float | None = None
    """Sampling weight relative to the other corpora (default: by size, see temperature)."""
    heads: list[str] | None = None
    """Heads that are trained on it (default: all)."""
    text: str | None = None
    """Its column that the text encoder reads (default: data.text)."""
    root: str | None = None
    split: dict[str, float] | None = None
    allow_outside_root: bool = False


@dataclass
class DataSettings:
    """``data``: the samples, their preprocessing and batching."""

    path: str | None = None
    """Manifest (.jsonl, .csv, .tsv, .parquet)."""
    root: str | None = None
    """Folder that paths in the manifest are relative to (default: the dataset card's, else the
    manifest's); or the URL of a folder of tar shards, e.g. s3://bucket/folder."""
    shard_cache: str | None = None
    """Local folder for shards that are fetched from a URL (default: ~/.cache/mmtx/shards)."""
    shard_cache_size: float = 50.0
    """GB of shards in shard_cache; the least recently used are removed. The shards of two windows
    must fit."""
    split: dict[str, float] | None = None
    """Ratios such as {train: 0.8, val: 0.1, test: 0.1} for rows without a split."""
    allow_outside_root: bool = False
    mixture: list[CorpusSettings] | None = None
    """Several manifests instead of path: [{name: a, path: a.jsonl}, {name: b, path: b.jsonl}]."""
    temperature: float = 1.0
    """Without weights, corpora are sampled in proportion to size to the power of 1/temperature."""
    mixture_mode: str = "corpora"
    """corpora: each batch is drawn from one corpus; samples: each batch is drawn from all."""
    text: str | None = "text"
    """Column that the text encoder reads: text, captions (one is sampled per epoch), or null."""
    resize_mode: str = "crop"
    """How images become square. crop: resize the shorter side to image_size and center-crop; pad:
    resize the longer side and pad with black; squash: resize both, ignoring the aspect ratio.
    naflex keeps the aspect ratio, in at most max_patches patches, for encoder/image=naflex_vit."""
    max_patches: int = 256
    """Maximum number of patches of an image with resize_mode=naflex; larger images are reduced."""
    frame_sampling: str = "uniform"
    """Which frames of a video are sampled: uniform over its whole length, fps (every 1/fps s), or
    dense (num_frames consecutive frames at fps)."""
    fps: float | None = None
    """Frames per second for frame_sampling=fps and frame_sampling=dense."""
    decode_timeout: float = DECODE_TIMEOUT
    """Seconds for decoding one file; a file that takes longer counts as unreadable."""
    decode_memory: float = DECODE_MEMORY
    """GB of memory for decoding one file; a file that needs more counts as unreadable. Raise it for
    files that you trust."""
    max_image_pixels: int = MAX_IMAGE_PIXELS
    """Images with more pixels count as unreadable, since a small file can decompress to more than
    fits in memory. Raise it for images that you trust."""
    modality_dropout: float = 0.0
    """Probability of dropping each modality of a training sample; at least one is kept."""
    modality_dropout_by: dict[str, float] = field(default_factory=dict)
    """Different probabilities for individual modalities, e.g. {image: 0.5}."""
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    batch_size: int = 32
    """Samples per step over all devices together; auto: the largest that fit."""
    eval_batch_size: int | None = None
    """Samples per step and device in validation and inference (default: batch_size); auto, in eval
    and caption: the largest that fit."""
    order: str = "random"
    """random: samples are shuffled over the whole data set; shards: tar shards are read in random
    order, and the samples of shard_window of them are mixed, so that reads are nearly
    sequential."""
    shard_window: int = 16
    """Number of shards whose samples are mixed with order=shards."""
    length_bucketing: bool = False
    """Batch texts of similar length together. This reduces padding, but makes batches less diverse,
    which hurts training on small data sets."""
    token_budget: int | None = None
    """Tokens of a training batch over all devices, with padding, in place of batch_size. Lengths of
    texts (and of images with resize_mode=naflex) count in multiples of 8."""
    batch_multiple: int = 1
    """With token_budget, the number of samples of each batch is a multiple of this; with several
    devices, set it to their number or a multiple of it."""
    captions_per_sample: int = 1
    """Captions per training sample and step, for samples with several. The other modalities of the
    sample are encoded once for all of them."""
    tokenizer: str | None = None
    """Path of a tokenizer.json; null trains a BPE tokenizer on the training texts."""
    tokenizer_vocab_size: int = 8000
    lowercase: bool = True
    num_answers: int = 3000
    """Number of most frequent training answers that head=vqa chooses from."""
    num_workers: int | None = None
    """Decoding processes per device (default: its share of the cores minus one, at most eight)."""
    prefetch_factor: int = 4
    """Batches that each decoding process prepares ahead."""
    persistent_workers: bool = False
    """Keep the decoding processes of the validation samples between validations."""
    pin_memory: bool | None = None
    """Put batches into page-locked memory, for asynchronous copies (default: if there is a GPU)."""
    prefetch: int = 0
    """Batches that are copied to the GPU ahead, while it computes."""
    limit_samples: int | None = None
    """Use only the first rows of each split, for a quick trial."""
    max_unreadable_fraction: float = 0.01
    """Stop if more than this fraction of the files cannot be read."""
    cache: str | None = None
    """Outputs of frozen encoders from `mmtx data action=cache`, read instead of the files."""


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
