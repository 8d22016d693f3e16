"""Settings of a run, typed and frozen: all that the packages above ``runs`` see of them."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.data_settings import DataSettings
from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.config.schema import (
    GenerationSettings,
    LoggerSettings,
    OptimizerSettings,
    TrainerSettings,
)
from mmtx_cli.io.onnx_folder import FORMAT

MODEL_KEYS = ("dim", "encoder", "fusion", "connector", "decoder", "head")
"""Root keys that describe the model."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings that all commands with a model have.

    ``encoder`` and ``head`` hold the configuration of each component by name, as plain data; an
    encoder that is disabled (``encoder.text=null``) is absent.
    """

    command: str
    seed: int
    run_dir: Path
    ckpt: str | None
    trusted_packages: tuple[str, ...]
    data: DataSettings
    optimizer: OptimizerSettings
    trainer: TrainerSettings
    generation: GenerationSettings
    logger: LoggerSettings
    preprocessing: Preprocessing
    dim: int
    encoder: Mapping[str, Any]
    fusion: Mapping[str, Any] | None
    connector: Mapping[str, Any] | None
    decoder: Mapping[str, Any] | None
    head: Mapping[str, Any]
    stored: Mapping[str, Any]
    """Config of the trained model in ``ckpt``, or of the run to resume; empty without either."""
    plain: Mapping[str, Any]
    """The whole configuration as plain data, in the order of ``config.yaml``."""
    _unresolved: DictConfig = field(repr=False, compare=False)

    @property
    def model(self) -> dict[str, Any]:
        """The configuration that ``build_model`` takes, as a copy that may be changed."""
        parts = {key: getattr(self, key) for key in MODEL_KEYS}
        return deepcopy(parts | {"generation": asdict(self.generation)})


@dataclass(frozen=True, kw_only=True)
class TrainConfig(RunConfig):
    """Settings of ``pretrain`` and ``finetune``."""

    resume: bool
    allow_changed_data: bool
    freeze: tuple[str, ...]
    fresh: frozenset[str] = frozenset()
    """Encoders with their own pretrained weights, which those of ``ckpt`` do not replace."""

    @property
    def last_checkpoint(self) -> str:
        """Path of the newest checkpoint of this run."""
        return str(self.run_dir / "checkpoints" / "last.ckpt")


@dataclass(frozen=True, kw_only=True)
class CacheConfig(TrainConfig):
    """Settings of ``data action=cache``."""

    out: str
    dtype: str
    overwrite: bool
    modules: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class EvalConfig(RunConfig):
    """Settings of ``eval``."""

    split: str | None
    bootstrap: int
    drop_modalities: tuple[str, ...]
    modality_subsets: str | None
    profile: bool
    modality_importance: bool
    baselines: bool


@dataclass(frozen=True, kw_only=True)
class CaptionConfig(RunConfig):
    """Settings of ``caption``."""

    text: str | None
    segment_seconds: float | None
    sidecar: str | None
    overwrite: bool
    template: str | None
    explain: bool | str | None
    explain_limit: int

    @property
    def is_onnx(self) -> bool:
        """True if the model is a folder of ONNX graphs, which runs without torch."""
        return self.stored.get("format") == FORMAT


@dataclass(frozen=True, kw_only=True)
class ServeConfig(RunConfig):
    """Settings of ``serve``."""

    host: str
    port: int
    allowed_hosts: tuple[str, ...]
    max_upload_mb: float
    max_seconds: float
    upload_timeout: float
    request_timeout: float
    max_requests: int
    decoders: int
    batch_window: float


@dataclass(frozen=True, kw_only=True)
class PredictConfig(RunConfig):
    """Settings of ``predict``."""

    text: str | None
    segment_seconds: float | None
    split: str | None
    top: int
    embeddings: bool


AnyConfig = TypeVar("AnyConfig", bound=RunConfig)
AnyTrainConfig = TypeVar("AnyTrainConfig", bound=TrainConfig)


def with_facts(run: AnyConfig, facts: Mapping[str, Any]) -> AnyConfig:
    """Return the settings with root keys that are known from the data (``schema.FILLED``).

    Components that refer to them, for example as ``${vocab_size}``, get their values.
    """
    cfg = deepcopy(run._unresolved)
    cfg.update(facts)
    return replace(run, **resolved_nodes(cfg), _unresolved=cfg)


def resolved_nodes(cfg: DictConfig) -> dict[str, Any]:
    """Return the fields of a ``RunConfig`` that may refer to facts about the data, resolved."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    return {
        "plain": plain,
        "dim": plain["dim"],
        "encoder": {name: node for name, node in (plain["encoder"] or {}).items() if node},
        **{key: plain.get(key) for key in ("fusion", "connector", "decoder")},
        "head": plain["head"] or {},
    }


def root_values(kind: type[RunConfig], plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of ``kind`` that are root keys of the configuration, lists as tuples."""
    names = {own.name for own in fields(kind)} & plain.keys()
    return {
        name: tuple(plain[name]) if isinstance(plain[name], list) else plain[name]
        for name in names - {"plain"}
    }
