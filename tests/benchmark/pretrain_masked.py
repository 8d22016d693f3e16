"""Masked reconstruction of pictures when three in four patches are hidden: the encoder sees the
others alone, against one that is made to encode all of them.

A ViT, 256 wide and 6 deep, on 224 x 224 pictures in patches of 16; batches of 16. Both sides decode
the same patches from the same tokens: what differs is what the encoder does.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from paired import paired_ratio, verdict

from mmtx_cli.config.schema import OptimizerSettings
from mmtx_cli.encoder.image.vit import ViTImageEncoder
from mmtx_cli.model.build import build_model
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.training.optimizer import make_optimizer
from mmtx_cli.types import Batch, ModalityInput, Tokens

BATCH, WIDTH, SIDE, RATIO = 16, 256, 224, 0.75


class WholeViT(ViTImageEncoder):
    """Encodes all patches, and gives the tokens of those that are shown."""

    def forward(self, field: ModalityInput) -> Tokens:
        tokens = super().forward(replace(field, visible=None))
        if field.visible is None:
            return tokens
        return Tokens(field.visible.of(tokens.x), field.visible.mask)


def made(encoder: type[ViTImageEncoder]) -> MultimodalModel:
    """The model of ``encoder/image=vit head=masked_image``, with that encoder."""
    torch.manual_seed(0)
    image = {
        "_target_": "mmtx_cli.encoder.image.vit.ViTImageEncoder",
        "image_size": SIDE,
        "patch_size": 16,
        "width": WIDTH,
        "depth": 6,
        "num_heads": 4,
        "stem": "patch",
    }
    head = "mmtx_cli.head.masked_reconstruction.MaskedReconstructionHead"
    masked = {"_target_": head, "dim": WIDTH, "modality": "image", "mask_ratio": RATIO}
    model = build_model(
        {
            "model": {
                "dim": WIDTH,
                "encoder": {"image": image},
                "fusion": {"_target_": "mmtx_cli.fusion.decision.DecisionFusion", "dim": WIDTH},
                "head": {"masked_image": masked},
            }
        }
    )
    model.encoder["image"].__class__ = encoder
    return model.train()


def step(model: MultimodalModel, batch: Batch) -> Callable[[], None]:
    """Forward, backward and the optimizer."""
    optimizer = make_optimizer(model, OptimizerSettings())

    def run() -> None:
        optimizer.zero_grad()
        loss = model(batch)["masked_image"].loss
        assert loss is not None
        loss.backward()
        optimizer.step()

    return run


def masked(rounds: int) -> None:
    """Print the ratio."""
    pictures = torch.randint(256, (BATCH, 1, 3, SIDE, SIDE), dtype=torch.uint8)
    field = ModalityInput(pictures, torch.ones(BATCH, 1, dtype=torch.bool))
    batch = Batch({"image": field}, {}, [str(i) for i in range(BATCH)])
    sides = [step(made(encoder), batch) for encoder in (WholeViT, ViTImageEncoder)]
    name = "masked step, all patches encoded / those that are shown"
    verdict(name, paired_ratio(*sides, rounds or 15)[1], at_least=2.0)
