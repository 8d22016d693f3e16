"""The plain settings of a run, section by section: their names, types and defaults.

The configuration holds what differs from these. Nothing here imports torch, so that a wrong
configuration is told at once.
"""

from dataclasses import dataclass, field

MAX_IMAGE_PIXELS = 178_956_970
"""Of a picture that is decoded: 512 MiB as RGB, the limit of Pillow."""
DECODE_TIMEOUT = 30.0
DECODE_MEMORY = 1.5
"""GB: what a picture of ``MAX_IMAGE_PIXELS`` takes, at 8 bytes a pixel."""


@dataclass
class AugmentSettings:
    """``data.augment``: random changes to training pictures."""

    scale: list[float] = field(default_factory=lambda: [1.0, 1.0])
    """Smallest and largest part of the picture's area that a random crop keeps."""
    flip: bool = False
    """Mirror half of the pictures; exchanges left and right, which captions may speak of."""
    color: float = 0.0
    """Strength of the random changes of brightness, contrast and saturation."""


@dataclass
class CorpusSettings:
    """One of ``data.mixture``."""

    name: str | None = None
    """What it is called: its samples' ids are name/id."""
    path: str | None = None
    """Its manifest."""
    weight: float | None = None
    """Its part of the samples, beside the others' weights (default: by size, see temperature)."""
    heads: list[str] | None = None
    """Which of the objectives learn from it (default: all)."""
    text: str | None = None
    """What the text encoder reads of it (default: data.text)."""
    root: str | None = None
    split: dict[str, float] | None = None
    allow_outside_root: bool = False


@dataclass
class DataSettings:
    """``data``: which samples, and how they become batches."""

    path: str | None = None
    """The manifest (.jsonl, .csv, .parquet)."""
    root: str | None = None
    """Folder that the manifest's paths are relative to (default: the manifest's)."""
    split: dict[str, float] | None = None
    """Ratios such as {train: 0.8, val: 0.1, test: 0.1} for rows that name no split."""
    allow_outside_root: bool = False
    mixture: list[CorpusSettings] | None = None
    """Several manifests in place of path: [{name: a, path: a.jsonl}, {name: b, path: b.jsonl}]."""
    temperature: float = 1.0
    """Without weights a corpus is drawn by its size to the power of 1/temperature."""
    mix: str = "corpora"
    """corpora: each batch is of one corpus; samples: each is of all."""
    text: str | None = "text"
    """What the text encoder reads: text, captions (one is drawn each epoch), or null."""
    fit: str = "crop"
    """crop: shorter side to image_size, keep the center; pad: longer side to image_size, black
    around the rest; squash: keep everything, without its proportions."""
    sampling: str = "uniform"
    """Which frames of a video: uniform over all of it, fps (every 1/fps s), or dense (num_frames
    in a row at fps)."""
    fps: float | None = None
    """Frames a second for fps and dense."""
    decode_timeout: float = DECODE_TIMEOUT
    """Seconds after which a file that is still being decoded counts as unreadable."""
    decode_memory: float = DECODE_MEMORY
    """GB that one file may take while it is decoded; one that needs more counts as unreadable.
    Raise it for files that you trust."""
    max_image_pixels: int = MAX_IMAGE_PIXELS
    """A picture of more pixels counts as unreadable: a small file may unpack to more than the
    memory holds. Raise it for pictures that you trust."""
    modality_dropout: float = 0.0
    """Chance of each modality of a training sample to be taken away; one is always left."""
    modality_dropout_by: dict[str, float] = field(default_factory=dict)
    """Other chances for single modalities, e.g. {image: 0.5}."""
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    batch_size: int = 32
    """Samples a step over all devices together."""
    eval_batch_size: int | None = None
    """Samples a step and device when nothing is trained (default: batch_size)."""
    bucket: bool = False
    """Put texts of similar length into one batch: less padding, but batches of one kind of text,
    from which small data learn worse."""
    captions_per_sample: int = 1
    """How many captions of a training sample are learned in each step, where it has several. Its
    other modalities are encoded once for all of them."""
    tokenizer: str | None = None
    """A tokenizer.json to use; null trains a BPE on the training texts."""
    tokenizer_size: int = 8000
    lowercase: bool = True
    num_answers: int = 3000
    """The most frequent answers of the training rows, which head=vqa chooses from."""
    num_workers: int | None = None
    """Processes that decode, for each device (default: a core each but one, at most eight)."""
    limit: int | None = None
    """Use only the first rows of each split: for a quick trial."""
    max_bad_fraction: float = 0.01
    """Stop when more than this part of the files cannot be read."""
    cache: str | None = None
    """Outputs of frozen encoders that `mmtx data action=cache` made: read instead of the files."""


@dataclass
class OptimizerSettings:
    """``optimizer``: AdamW with warm-up and cosine decay."""

    lr: float = 1e-3
    weight_decay: float = 0.05
    """For matrices only: never for norms, biases, embeddings and positions."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.98])
    eps: float = 1e-8
    warmup: float = 0.05
    """Part of the steps (below 1) or number of steps of linear warm-up."""
    min_lr: float = 0.01
    """Where the cosine ends, as a part of lr."""
    cycles: int = 1
    """Cosines after each other, each from lr down: 2 or more are warm restarts."""
    lr_scale: dict[str, float] = field(default_factory=dict)
    """Factor of lr by parameter prefix, e.g. {encoder.image: 0.1}."""
    layer_decay: float = 1.0
    """Factor of lr from each block of an encoder to the one before it, e.g. 0.75; 1 is none."""


@dataclass
class EarlyStoppingSettings:
    """``trainer.early_stopping``: stop when ``trainer.monitor`` no longer improves."""

    patience: int = 5
    """Validations without improvement to wait for."""
    min_delta: float = 0.0


@dataclass
class TrainerSettings:
    """``trainer``: how long, on what, and what is kept."""

    max_epochs: int | None = 10
    max_steps: int | None = None
    """Optimizer steps; takes the place of max_epochs."""
    accelerator: str = "auto"
    devices: int | str = 1
    """A number, auto, or the devices to use such as "0,2"."""
    num_nodes: int = 1
    join_timeout: float = 600.0
    """Seconds to wait for the processes of the other nodes."""
    strategy: str = "auto"
    precision: str = "32-true"
    """32-true, bf16-mixed, 16-mixed, …"""
    accumulate: int = 1
    """Batches an optimizer step."""
    clip: float | None = 1.0
    """Largest norm of the gradient; null does not clip."""
    compile: bool = False
    """torch.compile the model."""
    checkpointing: bool = False
    """Compute the activations of the encoders' blocks anew backwards (Chen et al. 2016)."""
    encode_batch: int | None = None
    """Samples that are encoded at a time and, backwards, anew: a contrastive loss sees the whole
    batch while the memory holds a part of it (GradCache, Gao et al. 2021)."""
    bad_steps: int = 0
    """How many steps may be left out whose loss or gradient is not finite, or leaps."""
    spike: float | None = None
    """A loss so many times the running mean leaps, e.g. 5."""
    ema: float | None = None
    """Decay of an exponential moving average of the weights, e.g. 0.999."""
    val_every: int | None = None
    """Optimizer steps between validations (default: an epoch)."""
    save_every: int | None = None
    """Optimizer steps between saves of last.ckpt (default: at each validation)."""
    log_every: int = 20
    """Optimizer steps between rows of metrics.csv."""
    monitor: str = "val/loss"
    """What best.ckpt is best in; of equal values it keeps the latest."""
    monitor_mode: str = "min"
    early_stopping: EarlyStoppingSettings | None = None
    deterministic: bool = False
    progress: bool = True


@dataclass
class WandbSettings:
    """``logger.wandb``."""

    project: str = "mmtx"
    name: str | None = None
    entity: str | None = None
    offline: bool = False
    tags: list[str] = field(default_factory=list)


@dataclass
class LoggerSettings:
    """``logger``: besides metrics.csv, which is always written."""

    wandb: WandbSettings | None = None
    tensorboard: bool = False


SECTIONS: dict[str, type] = {
    "data": DataSettings,
    "optimizer": OptimizerSettings,
    "trainer": TrainerSettings,
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
