"""A model's initial weights from a trained one, once that one's config and weights agree."""

from collections.abc import Mapping, Set
from typing import Any

from mmtx_cli.config.validate import component_faults
from mmtx_cli.distributed.ranks import is_first_process
from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.checkpoint import read_weights
from mmtx_cli.io.tensor_checks import other_types


def check_stored(stored: Mapping[str, Any], ckpt: str, trusted: tuple[str, ...]) -> None:
    """Refuse a trained model whose config describes another one than its weights are of.

    What is taken over from the config may be larger than any memory. Heads of packages that are
    not trusted are left out: they are refused by their own faults, unless others replace them.

    Raises:
        CheckpointError: naming tensors that are missing, or of another size.
    """
    from mmtx_cli.model.build import build_model
    from mmtx_cli.model.match_weights import check_fitting

    model, trust = stored["model"], {"trusted_packages": list(trusted)}
    heads = {
        name: node
        for name, node in model["head"].items()
        if node and not list(component_faults({"head": {name: node}, **trust}))
    }
    kept = {**model, "head": heads}
    if list(component_faults({**kept, **trust})):
        return  # encoders or a fusion that are replaced, or refused by these faults
    weights = {
        name: tensor
        for name, tensor in read_weights(ckpt).items()
        if not name.startswith("head.") or name.split(".")[1] in heads
    }
    check_fitting(lambda: build_model({"model": kept}, trusted), weights, f"ckpt={ckpt}")


def load_initial(model: Any, ckpt: str, fresh: Set[str]) -> None:
    """Initialize with trained weights wherever name and shape agree, and report the others.

    An image encoder within another encoder (``encoder.video.image`` of ``encoder/video=frames``)
    that the checkpoint lacks is initialized with the checkpoint's image encoder, and the other
    encoder's projection with that of the images: what reads images understands frames at once.

    Raises:
        CheckpointError: if no tensor fits.
    """
    own = tuple(f"encoder.{name}." for name in fresh)
    weights, state = read_weights(ckpt), model.state_dict()
    frames = {k.split(".")[1] for k in state if as_image_encoder(k)}
    sources = {k: as_image_encoder(k) or as_project(k, frames) for k in state if k not in weights}
    nested = {k: weights[source] for k, source in sources.items() if source in weights}
    fitting = {
        k: v
        for k, v in {**weights, **nested}.items()
        if k in state and state[k].shape == v.shape and not k.startswith(own)
    }
    if not fitting:
        raise CheckpointError(f"ckpt={ckpt}: none of its tensors fits this model")
    if faults := other_types(state, fitting):
        raise CheckpointError(f"ckpt={ckpt}: {'; '.join(faults[:5])}: not what mmtx saved")
    model.load_state_dict(fitting, strict=False)
    if is_first_process():
        others = (k for k in state.keys() - fitting.keys() if not k.startswith(own))
        new = sorted({".".join(k.split(".")[:2]) for k in others})
        said = f"; new: {', '.join(new)}" if new else ""
        copied = sorted(
            {k.split(".image.")[0] for k in nested.keys() & fitting.keys() if ".image." in k}
        )
        said += "".join(f"; {name}.image: from encoder.image" for name in copied)
        print(f"ckpt: {len(fitting)} of {len(state)} tensors from {ckpt}{said}")


def as_image_encoder(name: str) -> str | None:
    """The name that a tensor of a nested image encoder has in ``encoder.image``; None of others."""
    outer, within, rest = name.partition(".image.")
    return f"encoder.image.{rest}" if within and outer.startswith("encoder.") else None


def as_project(name: str, modalities: Set[str]) -> str | None:
    """The name in ``project.image`` of a tensor that projects one of ``modalities``."""
    part, _, rest = name.partition(".")
    modality, _, rest = rest.partition(".")
    return f"project.image.{rest}" if part == "project" and modality in modalities else None
