"""The contrastive training step of a dual encoder: ``mmtx pretrain``'s trainer against open_clip.

A ViT, 256 wide and 6 deep, on 224 x 224 pictures in patches of 32; a text Transformer of the same
size; batches of 32. The captions are Flickr8k's, as mmtx's tokenizer and order make batches of
them: of like length, and trimmed. open_clip is given its pictures as floats, mmtx as bytes; of
mmtx, what the command does besides (clipping, guard, schedule, figures, progress) is measured too.
"""

import math
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import torch
from open_clip.loss import ClipLoss
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, text_global_pool
from paired import Turns, verdict
from torch import Tensor
from torch.nn import functional as F
from train_step import WARM, Turn, trained

from mmtx_cli.config.schema import OptimizerSettings
from mmtx_cli.data.collate import pad
from mmtx_cli.data.importer.flickr8k import rows
from mmtx_cli.data.sampling.epoch_order import TrainOrder
from mmtx_cli.data.text.columns import TextColumn
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.training.module import TrainingModule
from mmtx_cli.types import Batch, ModalityInput

BATCH, BATCHES, WIDTH, DEPTH, HEADS, PATCH, SIDE, CONTEXT = 32, 20, 256, 6, 4, 32, 224, 77
STEPS = 2
"""Steps of a round."""


class TrimmedCLIP(CLIP):
    """Reads texts as far as the longest of the batch goes; the same figures, sooner."""

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        n = text.shape[1]
        x = self.token_embedding(text) + self.positional_embedding[:n]
        x = self.ln_final(self.transformer(x, attn_mask=self.attn_mask[:n, :n]))
        x = text_global_pool(x, text, self.text_pool_type) @ self.text_projection
        return F.normalize(x, dim=-1) if normalize else x


def captions() -> tuple[list[ModalityInput], int]:
    """The texts of some batches of an epoch, and the size of the vocabulary."""
    if "MMTX_TEST_DATA" not in os.environ:
        raise SystemExit("step: set MMTX_TEST_DATA, where flickr8k_mini/captions.token.txt is")
    folder = Path(os.environ["MMTX_TEST_DATA"]) / "flickr8k_mini"
    lists = {"train": folder / "train_images.txt"}
    texts = [row["captions"] for _, row in rows(folder / "captions.token.txt", "images", lists)]
    tokenizer = Tokenizer.train([text for several in texts for text in several])
    column = TextColumn(texts, tokenizer, 64)
    first = column.drawn(0, 0, torch.arange(len(texts)).numpy().astype("uint64"))
    order = TrainOrder(len(texts), BATCH, 0).epoch(0, column.lengths(first))
    fields = []
    for batch in order[:BATCHES]:
        tokens = [torch.from_numpy(column.get(i, first[i])) for i in batch]
        fields.append(pad(tokens, max(map(len, tokens)), (), torch.long))
    return fields, len(tokenizer)


def make_batches(texts: list[ModalityInput]) -> list[Batch]:
    """Pictures of noise, and the texts."""
    random = torch.Generator().manual_seed(0)
    batches = []
    for text in texts:
        shape = (BATCH, 1, 3, SIDE, SIDE)
        pictures = torch.randint(256, shape, dtype=torch.uint8, generator=random)
        image = ModalityInput(pictures, torch.ones(BATCH, 1, dtype=torch.bool))
        ids = [str(i) for i in range(BATCH)]
        batches.append(Batch({"image": image, "text": text}, {}, ids))
    return batches


def as_theirs(batch: Batch, context: int | None, vocab: int) -> tuple[Tensor, Tensor]:
    """Normalized pictures; tokens up to the context, of which the last real one is the largest."""
    text = batch.inputs["text"]
    tokens = text.data.scatter(1, text.mask.sum(dim=1, keepdim=True) - 1, vocab - 1)
    pictures = batch.inputs["image"].data[:, 0].float().div_(127.5).sub_(1)
    return pictures, F.pad(tokens, (0, context - tokens.shape[1])) if context else tokens


def ours(vocab: int) -> TrainingModule:
    """A dual encoder as ``encoder/image=vit encoder/text=transformer`` make it."""
    size = {"width": WIDTH, "depth": DEPTH, "num_heads": HEADS}
    image = {"_target_": "mmtx_cli.encoder.image.vit.ViTImageEncoder", "image_size": SIDE, **size}
    text = {"_target_": "mmtx_cli.encoder.text.transformer.TransformerTextEncoder", **size}
    head = {"_target_": "mmtx_cli.head.contrastive.ContrastiveHead", "dim": WIDTH}
    model = {
        "dim": WIDTH,
        "encoder": {
            "image": {**image, "patch_size": PATCH},
            "text": {**text, "vocab_size": vocab, "max_length": CONTEXT},
        },
        "fusion": {"_target_": "mmtx_cli.fusion.decision.DecisionFusion", "dim": WIDTH},
        "head": {"contrastive": {**head, "embed_dim": WIDTH}},
    }
    return TrainingModule({"model": model}, OptimizerSettings(), 1, seed=0)


def theirs(vocab: int, best: bool) -> CLIP:
    """The same in open_clip."""
    torch.manual_seed(0)
    head_width = WIDTH // HEADS
    vision = CLIPVisionCfg(DEPTH, WIDTH, head_width, patch_size=PATCH, image_size=SIDE)
    text = CLIPTextCfg(CONTEXT, vocab, width=WIDTH, heads=HEADS, layers=DEPTH)
    return (TrimmedCLIP if best else CLIP)(WIDTH, vision, text, output_dict=True)


def train_theirs(model: CLIP, batches: Iterable[tuple[Tensor, Tensor]], best: bool) -> None:
    """``train_one_epoch`` of open_clip_train 3.3.0 without its logging, with its AdamW."""
    loss = ClipLoss()
    named = list(model.named_parameters())
    plain = {n for n, p in named if p.ndim < 2 or "bn" in n or "ln" in n or "bias" in n}
    groups = [
        {"params": [p for n, p in named if n in plain], "weight_decay": 0.0},
        {"params": [p for n, p in named if n not in plain], "weight_decay": 0.2},
    ]
    optimizer = torch.optim.AdamW(groups, lr=5e-4, betas=(0.9, 0.98), eps=1e-6, fused=best or None)
    model.train()
    for images, texts in batches:
        optimizer.zero_grad()
        sum(loss(**model(images, texts), output_dict=True).values()).backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))


def compare(name: str, best: bool, target: float, rounds: int) -> None:
    """Print the ratio against one way of using open_clip; the two take turns after every step."""
    texts, vocab = captions()
    batches = make_batches(texts)
    context = None if best else CONTEXT
    prepared = [as_theirs(batch, context, vocab) for batch in batches]
    turns = Turns(WARM + STEPS * rounds + 2)  # two more: the trainer's last turn has no end
    model, module = theirs(vocab, best), ours(vocab)
    args = (model, Turn(prepared, turns, "b"), best)
    other = threading.Thread(target=train_theirs, args=args, daemon=True)
    other.start()
    trained(module, Turn(batches, turns, "a"), BATCH)
    other.join()
    sizes = [sum(p.numel() for p in m.parameters()) for m in (model, module.model)]
    print(f"parameters: open_clip {sizes[0]:,}, mmtx {sizes[1]:,}; {vocab:,} tokens known")
    ratios = [1 / ratio for ratio in turns.ratio(WARM, rounds)[1]]
    verdict(f"step, open_clip {name} / mmtx", ratios, at_least=target)


def step(rounds: int) -> None:
    """Against open_clip as it comes, and with a fused step and trimmed texts."""
    compare("as it comes", False, 1.9, rounds or 60)
    compare("fused and trimmed", True, 1.02, rounds or 60)
