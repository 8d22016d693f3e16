"""Settings of the section ``data``; like ``schema.py``, without importing torch."""

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
