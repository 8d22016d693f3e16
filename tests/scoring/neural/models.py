"""Small models of the hub, saved as transformers saves them, and captions with settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.neural.settings import (
    BertScoreSettings,
    ClipScoreSettings,
    NeuralSettings,
    SimilaritySettings,
)
from mmtx_cli.scoring.settings import ScoreSettings

SIDE = 32
TEXTS = (
    "a red circle moves left above a blue square",
    "two dogs run on green grass",
    "a man rides a bicycle on the road",
    "the child holds a balloon",
)
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 300,
}


def settings(
    similarity: Mapping[str, Any] | None = None,
    bertscore: Mapping[str, Any] | None = None,
    clipscore: Mapping[str, Any] | None = None,
    batch_size: int = 3,
) -> ScoreSettings:
    """Settings of families on the CPU; each is given by its keys."""
    neural = NeuralSettings(
        "cpu",
        batch_size,
        SimilaritySettings(**similarity or {}),
        BertScoreSettings(**bertscore or {}),
        ClipScoreSettings(**clipscore or {}),
    )
    return ScoreSettings((), (), None, (), 10, 1, 1, 0, neural=neural)


def captions(
    predictions: list[str],
    references: list[list[str]],
    media: list[dict[str, Path]] | None = None,
) -> Captions:
    """Captions with the ids a, b, …"""
    ids = [chr(ord("a") + i) for i in range(len(predictions))]
    return Captions(ids, predictions, references, [*media] if media else [{} for _ in ids])


def byte_tokenizer(kind: Any, begin: str, end: str, **more: Any) -> Any:
    """A byte-level tokenizer of transformers that puts texts between two tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    special = [begin, "<pad>", end, "<unk>"]
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=letters, special_tokens=special, show_progress=False
    )
    own.train_from_iterator(TEXTS, trainer)
    own.post_processor = processors.TemplateProcessing(
        f"{begin} $A {end}", special_tokens=[(begin, 0), (end, 2)]
    )
    return kind(
        tokenizer_object=own,
        bos_token=begin,
        cls_token=begin,
        eos_token=end,
        sep_token=end,
        pad_token="<pad>",
        unk_token="<unk>",
        **more,
    )


def saved(folder: Path, *parts: Any) -> str:
    """Save a model and its processors; the path of the folder."""
    for part in parts:
        part.save_pretrained(folder)
    return str(folder)


def roberta(folder: Path, positions: int = 42) -> str:
    """A RoBERTa of three layers that reads ``positions`` - 2 tokens."""
    import transformers as t

    torch.manual_seed(1)
    config = t.RobertaConfig(**SMALL, max_position_embeddings=positions, pad_token_id=1)
    words = byte_tokenizer(t.PreTrainedTokenizerFast, "<s>", "</s>")
    return saved(folder, t.RobertaModel(config).eval(), words)


def clip(folder: Path, positions: int = 40) -> str:
    """A CLIP that reads ``positions`` tokens and pictures of SIDE pixels."""
    import transformers as t

    torch.manual_seed(2)
    vision = {**SMALL, "image_size": SIDE, "patch_size": 16}
    text = {**SMALL, "max_position_embeddings": positions}
    text |= {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    config = t.CLIPConfig(text_config=text, vision_config=vision, projection_dim=3)
    side = {"height": SIDE, "width": SIDE}
    images = t.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=side)
    words = byte_tokenizer(t.PreTrainedTokenizerFast, "<s>", "</s>", model_max_length=positions)
    return saved(folder, t.CLIPModel(config).eval(), images, words)


def clap(folder: Path) -> str:
    """A CLAP that reads two seconds of sound at 16 kHz."""
    import transformers as t

    torch.manual_seed(3)
    text = {**SMALL, "max_position_embeddings": 42, "pad_token_id": 1}
    audio = {"spec_size": 64, "num_mel_bins": 16, "window_size": 2, "hidden_size": 64}
    audio |= {"patch_size": 4, "patch_stride": [4, 4], "depths": [1, 1], "num_hidden_layers": 2}
    audio |= {"num_attention_heads": [2, 2], "patch_embeds_hidden_size": 32}
    sounds = t.ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=16000,
        max_length_s=2,
        hop_length=160,
        fft_window_size=512,
        frequency_max=7000,
        truncation="rand_trunc",
    )
    config = t.ClapConfig(text_config=text, audio_config=audio, projection_dim=3)
    words = byte_tokenizer(t.PreTrainedTokenizerFast, "<s>", "</s>")
    return saved(folder, t.ClapModel(config).eval(), sounds, words)


def siglip(folder: Path) -> str:
    """A SigLIP that reads 16 tokens and pictures of SIDE pixels."""
    import transformers as t

    torch.manual_seed(4)
    vision = {**SMALL, "image_size": SIDE, "patch_size": 16}
    text = {**SMALL, "max_position_embeddings": 16, "projection_size": 32}
    config = t.SiglipConfig(text_config=text, vision_config=vision)
    images = t.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    words = byte_tokenizer(
        t.PreTrainedTokenizerFast,
        "<s>",
        "</s>",
        model_max_length=16,
        model_input_names=["input_ids"],
    )
    return saved(folder, t.SiglipModel(config).eval(), images, words)


def picture(path: Path, seed: int, size: tuple[int, int] = (48, 40)) -> Path:
    """Save a picture of noise in large cells."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(cells).resize(size, Image.Resampling.NEAREST).save(path)
    return path


def unit(x: Any) -> np.ndarray:
    """Vectors of length 1 in float64."""
    array = np.asarray(x, np.float64)
    return array / np.linalg.norm(array, axis=-1, keepdims=True)
