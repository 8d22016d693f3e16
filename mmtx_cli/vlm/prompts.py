"""Inputs of published vision-language models: pictures, films and prompts through a processor."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmtx_cli.vlm.visual import Visual

CHAT_PROMPT = "Describe this in one sentence."
PROCESSING_ERRORS = (ValueError, TypeError, IndexError, RuntimeError, KeyError, AttributeError)
PROMPTS = {"florence2": "<CAPTION>", "paligemma": "caption en"}
"""Prompts that models were trained with for captions, by ``model_type``."""


class Prompter:
    """Converts pictures, films and texts of inputs to the arguments of a model.

    The prompt is the user's turn in the processor's chat template, if it has one. Otherwise it is
    the prompt alone, after the model's placeholders of pictures.
    """

    def __init__(self, processor: Any, config: Any, chat: bool | None, native_video: bool) -> None:
        """Find out what the model reads.

        Args:
            processor: The model's processor.
            config: The model's configuration.
            chat: Whether to use the chat template; None if there is one.
            native_video: Whether a film is passed as such to a processor of videos.

        Raises:
            ValueError: If there is no chat template.
        """
        self.processor, self.config = processor, config
        self.tokenizer = processor.tokenizer
        added = self.tokenizer.added_tokens_decoder.values()
        self.special = [str(token) for token in added if len(str(token)) > 1]
        template = getattr(processor, "chat_template", None)
        if chat and not template:
            raise ValueError("chat=true: the processor of this model has no chat template")
        self.chat = bool(template) if chat is None else chat
        has_videos = getattr(processor, "video_processor", None) is not None
        self.native_video = native_video and has_videos and self.chat
        image_token = getattr(processor, "image_token", None)
        self.image_id = None if image_token is None else _image_id(config)
        self.image_token = None if self.image_id is None else image_token
        self.inserts = False  # whether the processor inserts the placeholders by itself
        picture = torch.full((3, 32, 32), 100, dtype=torch.uint8, device="cpu")
        if not self.chat and self.image_token is not None:
            self.inserts = True
            self.inserts = self._reads(Visual((picture,)))
        if not self._reads(Visual((picture,))):
            raise ValueError(
                "weights: the processor of this model does not combine a picture and a text"
            )
        self.several = self._reads(Visual((picture, picture)))
        self.needs_picture = self.image_token is None or not self._reads_text()

    @property
    def default_prompt(self) -> str:
        """The prompt for captions unless another is set."""
        return CHAT_PROMPT if self.chat else PROMPTS.get(self.config.model_type, "")

    def plain(self, text: str) -> str:
        """Return a text in which the names of special tokens are words like others."""
        for name in self.special:
            text = text.replace(name, f"{name[0]} {name[1:]}")
        return text

    def _reads(self, visual: Visual) -> bool:
        """Return whether the processor makes room for each of the pictures in the prompt."""
        if self.image_token is None:
            return len(visual.images) == 1
        try:
            ids = [
                self([v], [self.default_prompt])["input_ids"]
                for v in (Visual(visual.images[:1]), visual)
            ]
        except PROCESSING_ERRORS:
            return False
        counts = [x.flatten().tolist().count(self.image_id) for x in ids]
        return counts[0] > 0 and counts[1] >= len(visual.images) * counts[0]

    def _reads_text(self) -> bool:
        """Return whether the processor accepts an input without a picture."""
        try:
            self([Visual()], [self.default_prompt])
        except PROCESSING_ERRORS:
            return False
        return True

    def readable(self, visual: Visual) -> Visual:
        """Return the input with its film as frames, where the model does not read films.

        A model that reads one picture gets the first, or the middle frame; a model that cannot do
        without gets a black one.
        """
        frames = () if visual.video is None else tuple(visual.video)
        if not frames or (self.native_video and not visual.images):
            seen = visual if self.several else Visual(visual.images[:1], visual.video)
            if seen.images or seen.video is not None or not self.needs_picture:
                return seen
            return Visual((torch.zeros(3, 32, 32, dtype=torch.uint8, device="cpu"),))
        if self.several:
            return Visual((*visual.images, *frames))
        return Visual((*visual.images, frames[len(frames) // 2])[:1])

    def text(self, visual: Visual, prompt: str) -> str:
        """Return the prompt of an input in the form that its processor expects."""
        count = len(visual.images)
        if self.chat:
            content = [{"type": "image"}] * count
            content += [{"type": "video"}] if visual.video is not None else []
            content += [{"type": "text", "text": prompt}] if prompt else []
            return str(
                self.processor.apply_chat_template(
                    [{"role": "user", "content": content}],
                    tokenize=False,
                    add_generation_prompt=True,
                )
            )
        if self.inserts or self.image_token is None or self.image_token in prompt:
            return prompt
        return self.image_token * count + prompt

    def __call__(
        self, inputs: Sequence[Visual], prompts: Sequence[str], left: bool = False
    ) -> dict[str, Tensor]:
        """Return the model's arguments for inputs of one kind.

        Args:
            inputs: What each input shows, with equal numbers of pictures.
            prompts: The prompt of each input.
            left: Whether to pad on the left, to generate.
        """
        texts = [self.text(*pair) for pair in zip(inputs, prompts, strict=True)]
        if self.image_token is None:
            return self._separate(inputs, texts, left)
        arguments: dict[str, Any] = {"text": texts, "padding_side": "left" if left else "right"}
        if inputs[0].images:
            arguments["images"] = [list(visual.images) for visual in inputs]
        if inputs[0].video is not None:
            arguments |= videos([visual.video for visual in inputs if visual.video is not None])
        found = dict(self.processor(**arguments, padding=True, return_tensors="pt"))
        found.pop("labels", None)
        return found

    def _separate(
        self, inputs: Sequence[Visual], texts: Sequence[str], left: bool
    ) -> dict[str, Tensor]:
        """Return the arguments of a model that reads its picture beside the tokens (BLIP, GIT)."""
        pictures = [visual.images[0] for visual in inputs]
        found = dict(self.processor.image_processor(images=pictures, return_tensors="pt"))
        begin = _text_config(self.config).bos_token_id
        rows = [[begin, *self._ids(text)] for text in texts]
        length = max(map(len, rows))
        ids, mask = (torch.zeros(len(rows), length, dtype=torch.long) for _ in range(2))
        for i, row in enumerate(rows):
            place = slice(length - len(row), length) if left else slice(len(row))
            ids[i, place], mask[i, place] = torch.tensor(row), 1
        return {**found, "input_ids": ids, "attention_mask": mask}

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids) if text else []


def videos(films: Sequence[Tensor]) -> dict[str, Any]:
    """Return the arguments of a processor for films that are given as frames."""
    metadata = [
        {
            "total_num_frames": len(film),
            "frames_indices": list(range(len(film))),
            "fps": 1.0,
            "duration": float(len(film)),
            "height": film.shape[2],
            "width": film.shape[3],
        }
        for film in films
    ]
    return {"videos": list(films), "video_metadata": metadata, "do_sample_frames": False}


def _image_id(config: Any) -> int | None:
    """Return the ID of the placeholder of pictures."""
    found = (getattr(config, name, None) for name in ("image_token_id", "image_token_index"))
    return next((token for token in found if token is not None), None)


def _text_config(config: Any) -> Any:
    return config.get_text_config() if hasattr(config, "get_text_config") else config
