"""AdamW with selective weight decay, and a schedule of linear warm-up and cosine decay."""

import math
from collections.abc import Callable, Iterator

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from mmtx_cli.config.constraints import within
from mmtx_cli.config.schema import OptimizerSettings
from mmtx_cli.encoder.base import Encoder
from mmtx_cli.errors import ConfigError

UNDECAYED = (nn.Embedding, nn.LayerNorm, nn.GroupNorm, nn.BatchNorm2d)


def decayed_names(model: nn.Module) -> set[str]:
    """Return the names of the parameters with weight decay.

    These are weight matrices; norms, biases, embeddings, positions and scales do not decay.
    """
    names = set()
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            if (
                name.endswith("weight")  # also "in_proj_weight" of ``nn.MultiheadAttention``
                and not isinstance(module, UNDECAYED)
                and parameter.dim() > 1
            ):
                names.add(name)
    return names


def make_optimizer(model: nn.Module, settings: OptimizerSettings, fused: bool = True) -> AdamW:
    """Return AdamW (Loshchilov and Hutter 2019), as a single-kernel step if ``fused``."""
    decayed = decayed_names(model)
    depth = block_scales(model, settings.layer_decay)
    unmatched = [p for p in settings.lr_scale if not any(matching(model, p))]
    if unmatched:
        raise ConfigError(*(f"optimizer.lr_scale.{p}: matches no parameter" for p in unmatched))
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = lr_scale(name, settings.lr_scale) * depth.get(id(parameter), 1.0)
            groups.setdefault((scale, name in decayed), []).append(parameter)
    if not groups:
        raise ConfigError("freeze: no trainable parameters left; freeze fewer modules")
    return AdamW(
        [
            {
                "params": parameters,
                "lr": settings.lr * scale,
                "weight_decay": settings.weight_decay if decays else 0.0,
            }
            for (scale, decays), parameters in groups.items()
        ],
        lr=settings.lr,
        betas=(settings.betas[0], settings.betas[1]),
        eps=settings.eps,
        fused=fused,
    )


def block_scales(model: nn.Module, decay: float) -> dict[int, float]:
    """Return the layer-wise learning-rate factors of parameters in encoder blocks, by their ``id``.

    The factor is ``decay ** (n - i)`` for block i of n, the stem being block 0, as in BEiT (Bao et
    al. 2022). Parameters outside of encoder blocks keep the full learning rate.
    """
    if not 0 < decay <= 1:
        raise ConfigError(f"optimizer.layer_decay: {decay} must be greater than 0 and at most 1")
    scales: dict[int, float] = {}
    for encoder in model.modules():
        blocks = encoder.blocks() if isinstance(encoder, Encoder) else []
        for i, block in enumerate(blocks):
            for parameter in block.parameters():
                scales.setdefault(id(parameter), decay ** (len(blocks) - i))
    if decay < 1 and not scales:
        raise ConfigError(
            "optimizer.layer_decay: no encoder of this model has blocks; remove this key"
        )
    return scales


def matching(model: nn.Module, prefix: str) -> Iterator[str]:
    """Return the names of the parameters in the module ``prefix``."""
    return (name for name, _ in model.named_parameters() if within(name, prefix))


def lr_scale(name: str, scales: dict[str, float]) -> float:
    """Return the factor of the longest matching prefix, 1 if there is none."""
    fitting = [prefix for prefix in scales if within(name, prefix)]
    return scales[max(fitting, key=len)] if fitting else 1.0


def make_schedule(optimizer: AdamW, settings: OptimizerSettings, steps: int) -> LambdaLR:
    """Return linear warm-up followed by cosine decay to ``min_lr``, repeated for ``cycles`` > 1.

    See SGDR (Loshchilov and Hutter 2017) for warm restarts.
    """
    return LambdaLR(optimizer, warmup_cosine(settings, steps))


def warmup_cosine(settings: OptimizerSettings, steps: int) -> Callable[[int], float]:
    """Return the function from a step to its learning-rate factor, in a run of ``steps``."""
    warmup = settings.warmup if settings.warmup >= 1 else settings.warmup * steps

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min(1.0, (step - warmup) / max(1.0, steps - warmup))
        phase = done * settings.cycles % 1 if done < 1 else 1.0
        cosine = 0.5 * (1 + math.cos(math.pi * phase))
        return settings.min_lr + (1 - settings.min_lr) * cosine

    return factor
