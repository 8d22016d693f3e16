"""Build models from plain configuration: the only place that instantiates components.

A run's *config* is a plain dict, saved in every checkpoint: ``model`` (dim, encoder, fusion,
connector, decoder, head, generation), ``preparation`` (preprocessing), ``label_names``,
``multi_label``, ``tokenizer``.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from mmtx_cli.config.cross_checks import decoder_section
from mmtx_cli.config.introspect import signature_of
from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.config.validate import component_faults
from mmtx_cli.decoder.base import Decoder
from mmtx_cli.errors import ConfigError
from mmtx_cli.layer.frozen_teacher import FrozenTeacher
from mmtx_cli.model.earlier import EarlierModel
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.model.teacher import teacher_model


def build_model(config: Mapping[str, Any], trusted: Sequence[str] = ()) -> MultimodalModel:
    """Build the model described by ``config["model"]``, with its initial weights."""
    model = config["model"]
    faults = list(component_faults({**model, "trusted_packages": list(trusted)}))
    if faults:
        raise ConfigError(*faults)
    encoders = build_encoders(model["encoder"])
    fusion = component("fusion", model["fusion"], modalities=list(encoders))
    patching = {
        name: provided for name, encoder in encoders.items() if (provided := encoder.patching())
    }
    available = {"available": list(fusion.streams), "vote": fusion.vote}
    available |= {"patching": patching, "encoders": encoders}
    heads = {}
    available["decoder"] = partial(build_decoder, model, trusted)
    for name, node in model["head"].items():
        parameters = signature_of(node["_target_"], tuple(trusted)).parameters
        provided = {
            key: value
            for key, value in available.items()
            if key == "available" or key in parameters
        }
        if node.get("teacher"):
            provided["teacher"] = build_teacher(f"head.{name}", node, config, trusted)
        heads[name] = component(f"head.{name}", node, **provided)
        if hasattr(heads[name], "generation"):
            heads[name].generation = GenerationSettings(**(model.get("generation") or {}))
    kind = EarlierModel if config.get("early") else MultimodalModel
    return kind(model["dim"], encoders, fusion, heads)


def build_decoder(model: Mapping[str, Any], trusted: Sequence[str], num_streams: int) -> Decoder:
    """Build the decoder of a head that generates text from ``num_streams`` streams, with its
    connector.

    Raises:
        ConfigError: If there is no decoder, or it takes no connector, or lacks one.
    """
    node = model.get("connector")
    if not model.get("decoder"):
        raise ConfigError("decoder: required by a head that generates text; set decoder=NAME")
    decoder: Decoder = component(decoder_section(model["decoder"]), model["decoder"])
    if node and not decoder.takes_connector:
        raise ConfigError("connector: this decoder reads its context without one; remove it")
    if not decoder.takes_connector:
        return decoder
    if not node:
        raise ConfigError("connector: required by this decoder; set e.g. connector=prefix")
    parameters = signature_of(node["_target_"], tuple(trusted)).parameters
    provided = {**decoder.connector_kwargs(), "streams": num_streams}
    provided = {key: value for key, value in provided.items() if key in parameters}
    connector = component("connector", node, **provided)
    try:
        decoder.connect(connector)
    except ValueError as error:
        raise ConfigError(f"decoder: {error}") from error
    return decoder


def build_encoders(nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Build the encoders by modality, before anything else: a seed always gives the same ones."""
    return {name: component(f"encoder.{name}", node) for name, node in nodes.items() if node}


def build_teacher(
    path: str, node: Mapping[str, Any], config: Mapping[str, Any], trusted: Sequence[str]
) -> FrozenTeacher:
    """Build a head's ``teacher``: a trained model, or an encoder that does not depend on the seed.

    Parts of an encoder without pretrained weights are random: they carry no information about the
    modality, and would be the only difference between the teachers of two seeds.

    Args:
        path: Config path of the head, for messages.
        node: Config of the head.
        config: The run's config.
        trusted: Packages that components may be imported from.
    """
    if isinstance(node["teacher"], str):
        return load_teacher(path, node, config, trusted)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FrozenTeacher(component(f"{path}.teacher", node["teacher"]))


def load_teacher(
    path: str, node: Mapping[str, Any], config: Mapping[str, Any], trusted: Sequence[str]
) -> FrozenTeacher:
    """Load the trained model that a head's ``teacher`` names, or only its encoder.

    Args:
        path: Config path of the head, for messages.
        node: Config of the head; its ``modality``, if any, selects an encoder.
        config: The run's config.
        trusted: Packages that components may be imported from.

    Raises:
        ConfigError: If the model has no encoder of the head's modality.
    """
    model, stored = teacher_model(path, node["teacher"], config, lambda c: build_model(c, trusted))
    modality = node.get("modality")
    if modality is None:
        return FrozenTeacher(model, stored["label_names"])
    if modality not in model.encoder:
        raise ConfigError(f"{path}.teacher: {node['teacher']} has no encoder for {modality!r}")
    return FrozenTeacher(model.encoder[modality])


def component(path: str, node: Mapping[str, Any], **provided: object) -> Any:
    """Instantiate one component; report invalid arguments as ConfigError."""
    try:
        return instantiate(dict(node), _convert_="all", **provided)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ValueError):
            raise ConfigError(f"{path}: {cause}") from error
        if isinstance(cause, (TypeError, ArithmeticError, RuntimeError)):
            name = type(cause).__name__
            raise ConfigError(
                f"{path}: cannot be built from its arguments: {name}: {cause}"
            ) from error
        raise cause or error from error
