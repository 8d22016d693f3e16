"""Initialize a model from a trained one, after checking that its config and weights match."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

from mmtx_cli.config.validate import component_faults
from mmtx_cli.distributed.ranks import is_first_process
from mmtx_cli.errors import CheckpointError
from mmtx_cli.hub.origin import mark_pretrained
from mmtx_cli.io.checkpoint import read_weights
from mmtx_cli.io.untrusted.tensor_checks import type_mismatches


def check_stored(stored: Mapping[str, Any], ckpt: str, trusted: tuple[str, ...]) -> None:
    """Check that the config of a trained model matches its weights.

    The settings inherited from the config may describe a model too large for memory. Heads of
    untrusted packages are skipped: they are rejected elsewhere, unless other heads replace them.

    Raises:
        CheckpointError: If tensors are missing or have other shapes.
    """
    from mmtx_cli.model.build import build_model
    from mmtx_cli.model.match_weights import check_fitting

    model, trust = stored["model"], {"trusted_packages": list(trusted)}
    heads = {
        name: node
        for name, node in model["head"].items()
        if node and not list(component_faults({"head": {name: node}, **trust}))
    }
    checked = {**model, "head": heads}
    if list(component_faults({**checked, **trust})):
        return  # encoders or a fusion that will be replaced, or rejected for these faults
    weights = {
        name: tensor
        for name, tensor in read_weights(ckpt).items()
        if not name.startswith("head.") or name.split(".")[1] in heads
    }
    check_fitting(lambda: build_model({"model": checked}, trusted), weights, f"ckpt={ckpt}")


def load_initial(model: Any, ckpt: str, fresh: Set[str]) -> None:
    """Load trained weights wherever name and shape match, and print what was loaded.

    An image encoder nested in another encoder (``encoder.video.image`` of
    ``encoder/video=per_frame``) that the checkpoint lacks is initialized from the checkpoint's
    image encoder, and the projection of the outer encoder from that of the images: a model of
    images can then process frames at once.

    Raises:
        CheckpointError: If no tensor matches, or not all do for a head that trains one further.
    """
    skipped_prefixes = tuple(f"encoder.{name}." for name in fresh)
    weights, state = read_weights(ckpt), model.state_dict()
    frames = {k.split(".")[1] for k in state if as_image_encoder(k)}
    sources = {k: as_image_encoder(k) or as_project(k, frames) for k in state if k not in weights}
    nested = {k: weights[source] for k, source in sources.items() if source in weights}
    fitting = {
        k: v
        for k, v in {**weights, **nested}.items()
        if k in state and state[k].shape == v.shape and not k.startswith(skipped_prefixes)
    }
    if not fitting:
        raise CheckpointError(f"ckpt={ckpt}: none of its tensors matches this model")
    if further := [name for name, head in model.head.items() if head.traits.trains]:
        check_complete(ckpt, further[0], sorted(state.keys() - fitting.keys()))
    if faults := type_mismatches(state, fitting):
        raise CheckpointError(f"ckpt={ckpt}: {'; '.join(faults[:5])}: not saved by mmtx")
    model.load_state_dict(fitting, strict=False)
    mark_pretrained(parameter for name, parameter in model.named_parameters() if name in fitting)
    if is_first_process():
        others = (k for k in state.keys() - fitting.keys() if not k.startswith(skipped_prefixes))
        new = sorted({".".join(k.split(".")[:2]) for k in others})
        details = f"; new: {', '.join(new)}" if new else ""
        copied = sorted(
            {k.split(".image.")[0] for k in nested.keys() & fitting.keys() if ".image." in k}
        )
        details += "".join(f"; {name}.image: from encoder.image" for name in copied)
        print(f"ckpt: loaded {len(fitting)} of {len(state)} tensors from {ckpt}{details}")


def check_complete(ckpt: str, head: str, missing: Sequence[str]) -> None:
    """Raise CheckpointError if a model with a head that trains one of ``ckpt`` further has new
    tensors.

    Args:
        ckpt: The trained model.
        head: Name of the head.
        missing: Tensors that are not in it, or have other shapes.
    """
    if missing:
        raise CheckpointError(
            f"head.{head}: trains the model in ckpt={ckpt} further, but {len(missing)} tensors of "
            f"this model are not in it ({', '.join(missing[:3])}, …); remove the keys that change "
            "its encoders, fusion, decoder or tokenizer"
        )


def as_image_encoder(name: str) -> str | None:
    """Return the name of a nested image encoder's tensor in ``encoder.image``, else None."""
    outer, within, rest = name.partition(".image.")
    return f"encoder.image.{rest}" if within and outer.startswith("encoder.") else None


def as_project(name: str, modalities: Set[str]) -> str | None:
    """Return the name in ``project.image`` of a projection tensor of ``modalities``, else None."""
    part, _, rest = name.partition(".")
    modality, _, rest = rest.partition(".")
    return f"project.image.{rest}" if part == "project" and modality in modalities else None
