"""Tiny published vision-language models of several architectures, saved as transformers saves them.

They differ in how a picture reaches the text: cross-attention (BLIP), in front of the text (GIT),
in place of tokens (the others), and before an encoder (Florence-2).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

TEXTS = (
    "a red circle moves left above a blue square",
    "What color is it?",
    "two dogs run on green grass.",
    "Describe this in one sentence.",
)
SIDE = 32
TURN = (
    "{% for message in messages %}<|user|>{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% elif part['type'] == 'video' %}VIDEO"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TURN_TOKENS = ("<|user|>", "<|assistant|>", "<|end|>")
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": 16,
}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 400,
    "max_position_embeddings": 2048,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}


def tokenizer(begin: str, end: str, pad: str, *further: str, **roles: Any) -> Any:
    """A byte-level tokenizer whose first tokens are the given ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    special = [begin, end, pad, *further]
    trainer = trainers.BpeTrainer(
        vocab_size=340, initial_alphabet=letters, special_tokens=special, show_progress=False
    )
    own.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=own, bos_token=begin, eos_token=end, pad_token=pad, **roles
    )


def turn(image: str, video: str = "") -> str:
    """A chat template with the placeholders of a model."""
    return TURN.replace("IMAGE", image).replace("VIDEO", video)


def blip(t: Any) -> tuple[Any, Any]:
    words = tokenizer("[DEC]", "[SEP]", "[PAD]", sep_token="[SEP]")
    text = {**TEXT, "sep_token_id": 1, "encoder_hidden_size": 32, "projection_dim": 32}
    config = t.BlipConfig(text_config=text, vision_config=VISION, image_text_hidden_size=32)
    images = t.BlipImageProcessor(size={"height": SIDE, "width": SIDE})
    return t.BlipForConditionalGeneration(config), t.BlipProcessor(images, words)


def git(t: Any) -> tuple[Any, Any]:
    words = tokenizer("[CLS]", "[SEP]", "[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    model = t.GitForCausalLM(t.GitConfig(vision_config=VISION, **TEXT))
    return model, t.GitProcessor(clip_images(t), words)


def clip_images(t: Any) -> Any:
    side = {"height": SIDE, "width": SIDE}
    return t.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=side)


def llava(t: Any) -> tuple[Any, Any]:
    words = tokenizer("<s>", "</s>", "<pad>", "<image>", *TURN_TOKENS)
    vision = {"model_type": "clip_vision_model", "projection_dim": 32, **VISION}
    text = {"model_type": "llama", **TEXT}
    config = t.LlavaConfig(vision_config=vision, text_config=text, image_token_id=3)
    processor = t.LlavaProcessor(
        clip_images(t),
        words,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=turn("<image>"),
    )
    return t.LlavaForConditionalGeneration(config), processor


TILES = (
    *("<fake_token_around_image>", "<global-img>", "<end_of_utterance>"),
    *(f"<row_{i}_col_{j}>" for i in (1, 2) for j in (1, 2)),
)


def idefics3(t: Any) -> tuple[Any, Any]:
    words = tokenizer("<s>", "</s>", "<pad>", "<image>", *TURN_TOKENS, *TILES)
    images = t.Idefics3ImageProcessor(**tile_sizes())
    processor = t.Idefics3Processor(images, words, image_seq_len=4, chat_template=turn("<image>"))
    return t.Idefics3ForConditionalGeneration(t.Idefics3Config(**tiled())), processor


def smolvlm(t: Any) -> tuple[Any, Any]:
    pytest.importorskip("num2words")
    roles = {
        "fake_image_token": TILES[0],
        "image_token": "<image>",
        "global_image_token": TILES[1],
        "end_of_utterance_token": TILES[2],
    }
    special = ("<image>", *TURN_TOKENS, *TILES)
    words = tokenizer("<s>", "</s>", "<pad>", *special, extra_special_tokens=roles)
    side = {"longest_edge": SIDE}
    processor = t.SmolVLMProcessor(
        t.SmolVLMImageProcessor(**tile_sizes()),
        words,
        t.SmolVLMVideoProcessor(size=side, max_image_size=side),
        image_seq_len=4,
        chat_template=turn("<image>", "<video>"),
    )
    return t.SmolVLMForConditionalGeneration(t.SmolVLMConfig(**tiled())), processor


def tile_sizes() -> dict[str, Any]:
    return {"size": {"longest_edge": 2 * SIDE}, "max_image_size": {"longest_edge": SIDE}}


def tiled() -> dict[str, Any]:
    return {
        "vision_config": {**VISION, "patch_size": 8},
        "text_config": {"model_type": "llama", **TEXT},
        "image_token_id": 3,
        "scale_factor": 2,
        "pad_token_id": 2,
    }


def qwen2_vl(t: Any) -> tuple[Any, Any]:
    marks = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    words = tokenizer("<s>", "</s>", "<pad>", *marks, *TURN_TOKENS)
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2}
    patches = {"patch_size": 4, "temporal_patch_size": 2}
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = t.Qwen2VLConfig(
        vision_config={**vision, **patches, "spatial_merge_size": 2},
        text_config={**TEXT, "rope_parameters": rope},
        image_token_id=3,
        video_token_id=4,
        vision_start_token_id=5,
        vision_end_token_id=6,
    )
    sizes = {**patches, "merge_size": 2, "min_pixels": 64}
    places = [f"{marks[2]}{mark}{marks[3]}" for mark in marks[:2]]
    processor = t.Qwen2VLProcessor(
        t.Qwen2VLImageProcessor(**sizes, max_pixels=1024),
        words,
        t.Qwen2VLVideoProcessor(**sizes, max_pixels=4096),
        chat_template=turn(*places),
    )
    return t.Qwen2VLForConditionalGeneration(config), processor


def florence2(t: Any) -> tuple[Any, Any]:
    roles = {"unk_token": "<unk>", "extra_special_tokens": {"image_token": "<image>"}}
    words = tokenizer("<s>", "</s>", "<pad>", "<image>", "<unk>", **roles)
    text = {
        "model_type": "bart",
        "vocab_size": 400,
        "d_model": 32,
        "max_position_embeddings": 256,
        "decoder_start_token_id": 1,
        **{key: TEXT[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")},
        **{f"{part}_layers": 1 for part in ("encoder", "decoder")},
        **{f"{part}_attention_heads": 4 for part in ("encoder", "decoder")},
        **{f"{part}_ffn_dim": 64 for part in ("encoder", "decoder")},
    }
    stages = {"depths": [1] * 4, "num_heads": [2] * 4, "num_groups": [2] * 4}
    vision = {"embed_dim": [8, 16, 16, 16], "projection_dim": 32, "window_size": 2, **stages}
    places = {"max_position_embeddings": 10, "max_temporal_embeddings": 10}
    config = t.Florence2Config(
        vision_config={**vision, **places},
        text_config=text,
        image_token_id=3,
        is_encoder_decoder=True,
    )
    model = t.Florence2ForConditionalGeneration(config)
    model.generation_config.update(
        forced_bos_token_id=0, forced_eos_token_id=None, decoder_start_token_id=1
    )
    images = t.CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False)
    images.image_seq_length = 5
    return model, t.Florence2Processor(images, words)


def paligemma(t: Any) -> tuple[Any, Any]:
    words = tokenizer("<bos>", "<eos>", "<pad>", "<image>")
    images = t.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    images.image_seq_length = 4
    config = t.PaliGemmaConfig(
        vision_config={"model_type": "siglip_vision_model", **VISION},
        text_config={"model_type": "gemma", "head_dim": 8, **TEXT},
        image_token_id=3,
        projection_dim=32,
    )
    return t.PaliGemmaForConditionalGeneration(config), t.PaliGemmaProcessor(images, words)


def gemma3(t: Any) -> tuple[Any, Any]:
    marks = ("<img>", "<start_of_image>", "<end_of_image>")
    roles = dict(zip(("image_token", "boi_token", "eoi_token"), marks, strict=True))
    words = tokenizer("<bos>", "<eos>", "<pad>", *marks, *TURN_TOKENS, extra_special_tokens=roles)
    text = {"head_dim": 8, "sliding_window": 16, **TEXT}
    config = t.Gemma3Config(
        vision_config={"model_type": "siglip_vision_model", **VISION, "patch_size": 8},
        text_config={**text, "layer_types": ["sliding_attention", "full_attention"]},
        image_token_id=3,
        boi_token_id=4,
        eoi_token_id=5,
        mm_tokens_per_image=4,
    )
    images = t.Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE})
    processor = t.Gemma3Processor(
        images, words, image_seq_length=4, chat_template=turn("<start_of_image>")
    )
    return t.Gemma3ForConditionalGeneration(config), processor


def internvl(t: Any) -> tuple[Any, Any]:
    """Its processor pads prompts on the left unless asked not to."""
    marks = ("<IMG_CONTEXT>", "<img>", "</img>", "<video>")
    names = ("context_image_token", "start_image_token", "end_image_token", "video_token")
    roles = dict(zip(names, marks, strict=True))
    words = tokenizer("<s>", "</s>", "<pad>", *marks, *TURN_TOKENS, extra_special_tokens=roles)
    vision = {"model_type": "internvl_vision", **VISION, "patch_size": [8, 8]}
    config = t.InternVLConfig(
        vision_config={**vision, "image_size": [SIDE, SIDE]},
        text_config={"model_type": "llama", **TEXT},
        image_token_id=3,
    )
    side = {"height": SIDE, "width": SIDE}
    processor = t.InternVLProcessor(
        t.GotOcr2ImageProcessor(size=side, crop_to_patches=False),
        words,
        t.InternVLVideoProcessor(size=side),
        image_seq_length=4,
        chat_template=turn("<IMG_CONTEXT>", "<video>"),
    )
    return t.InternVLForConditionalGeneration(config), processor


ARCHITECTURES: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    build.__name__: build
    for build in (
        *(blip, git, llava, idefics3, smolvlm),
        *(qwen2_vl, florence2, paligemma, gemma3, internvl),
    )
}


def save_vision_language_model(folder: Path, architecture: str = "llava", seed: int = 0) -> str:
    """Write a model with random weights and its processor; return the folder."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    model, processor = ARCHITECTURES[architecture](transformers)
    with torch.no_grad():
        for parameter in model.parameters():  # some are initialized so that pictures do not count
            if parameter.dim() > 1:
                parameter.normal_(std=parameter[0].numel() ** -0.5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)
