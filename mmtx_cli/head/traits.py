"""What is true of every head of a class, whatever its arguments."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HeadTraits:
    """The traits of a head class, which states those that differ: ``traits = HeadTraits(...)``.

    Configuration checks read the keywords of that call, which must be literals, from the source of
    mmtx's own heads, without importing torch (``config/introspect.class_trait``). What depends on a
    head's arguments, such as its targets, is an attribute of the head.
    """

    trained: bool = True
    """The head is trained as part of a model. If not, it is evaluation-only."""

    trains: str | None = None
    """Path of the head class that this one trains further, from a trained model (``ckpt``). It
    continues the trained head of its name, and the model that it trains has that class again.
    """

    without_dropout: bool = False
    """The model is trained without dropout: what the head trains on comes from the model itself, as
    it is in evaluation.
    """

    predicts: bool = False
    """The head implements ``predictions``, for inputs without targets (``mmtx predict``)."""

    late_fusion: bool = True
    """The head can read several unfused streams and combine their scores."""

    unimodal: bool = False
    """The head reads a single modality unless its ``streams`` are set."""

    ordinal: bool = False
    """The classes are ordered."""

    scores_every_text: bool = False
    """Every caption of a sample is scored in evaluation instead of only the first."""

    contrastive: bool = False
    """The head aligns the embeddings of the streams in each of its ``pairs``."""

    compares_samples: bool = False
    """The loss compares samples with each other, so that a batch needs at least two."""

    makes_negatives: bool = False
    """The head reads a fusion of recombined modalities (``make_negatives``). It runs after the
    heads without this trait, whose predictions it may use.
    """

    needs_teacher: bool = False
    """The head requires a teacher for training."""

    needs_contrastive: bool = False
    """The head uses a trained contrastive head (evaluation-only heads)."""

    encodes_text: bool = False
    """The head encodes texts of its own with the text encoder (evaluation-only heads)."""
