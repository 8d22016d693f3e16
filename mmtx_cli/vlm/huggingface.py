"""Published vision-language models of the transformers library: BLIP, GIT, LLaVA, Qwen-VL, …

The model's own vision encoder and language model generate the text; its processor prepares the
pictures and the prompt.
"""

from collections.abc import Iterable, Iterator, Mapping
from inspect import signature
from pathlib import Path
from re import fullmatch
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mmtx_cli.config.preprocessing import PLACE
from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.decoder.base import Decoder, DecoderState
from mmtx_cli.decoder.language_model import add_adapters, checked_hash, merge_adapters
from mmtx_cli.decoder.lm_arguments import argument_fault
from mmtx_cli.decoder.lm_tokenizer import target_tokenizer_json
from mmtx_cli.decoder.stored_state import exclude_from_state
from mmtx_cli.errors import DataError
from mmtx_cli.generation.constraint.constraint import Constraint
from mmtx_cli.generation.constraint.tracker import Tracker
from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.make import make_tracker
from mmtx_cli.generation.texts import Texts
from mmtx_cli.hub.huggingface import quiet_logging
from mmtx_cli.layer.context import Context
from mmtx_cli.layer.freeze import Freezable
from mmtx_cli.types import IGNORE_INDEX
from mmtx_cli.vlm.generation import generated_texts, generation_settings
from mmtx_cli.vlm.loading import end_token, load_model, load_processor
from mmtx_cli.vlm.prompts import Prompter
from mmtx_cli.vlm.sequence import decoder_input, extended
from mmtx_cli.vlm.visual import Visual, grouped, visuals

VISION = r".*(vision|visual|image).*"
"""Names of modules that LoRA does not adapt unless ``exclude_modules`` is set."""


class HuggingFaceVLM(Freezable, Decoder):
    """A published vision-language model, as it is, with LoRA, or trained as a whole.

    Requires ``pip install mmtx[vlm]``. Reads pictures, and films as such or as pictures of their
    frames. A model that reads a single picture gets the first one, or the middle frame.
    """

    brings_tokenizer: ClassVar[bool] = True
    reads_raw: ClassVar[bool] = True

    def __init__(
        self,
        weights: str | None = None,
        max_length: int = 64,
        freeze: bool = True,
        lora: dict[str, Any] | None = None,
        dtype: str = "float32",
        image_size: int = 224,
        prompt: str | None = None,
        chat: bool | None = None,
        native_video: bool = True,
        eos: str | None = None,
        trim: bool = False,
        prompt_template: str | None = None,
        base_hash: str | None = None,
    ) -> None:
        """``weights`` is a model on huggingface.co or a local folder.

        ``freeze`` freezes the model; ``lora`` (arguments of ``peft.LoraConfig``) adds LoRA adapters
        to its language model. ``dtype`` is the type of frozen weights. ``image_size`` is the side
        of the pictures in pixels. ``prompt`` is the text that the model answers, in which
        ``{text}`` stands for the text of the row; the default requests a caption. ``chat`` uses the
        chat template of the processor, by default if it has one. ``native_video=false`` passes
        films as pictures. ``eos`` is the end token, by default that of the model. ``trim``, which
        removes the padding of ``data.resize_mode=pad``, ``prompt_template`` and ``base_hash`` are
        set by mmtx.
        """
        super().__init__()
        if weights is None:
            raise ValueError("weights: required; set vlm.weights=NAME or a folder")
        if fault := argument_fault(weights, freeze, lora, dtype, "text", "", None):
            raise ValueError(fault)
        self.max_length, self.trim, self.image_size = max_length, trim, image_size
        self.lm: Any = load_model(weights, dtype)
        with quiet_logging():
            self.prompter = Prompter(load_processor(weights), self.lm.config, chat, native_video)
        self.prompt = self.prompter.default_prompt if prompt is None else prompt
        self.template = self.prompt_template(weights, self.prompt, bool(chat))
        config: Any = self.lm.config
        self.is_encoder_decoder = bool(config.is_encoder_decoder)
        self.selects_logits = "logits_to_keep" in signature(self.lm.forward).parameters
        self.measure()
        self.base_hash = checked_hash(self.lm, weights, base_hash, "vlm")
        if freeze:
            self.lm.requires_grad_(False)
        if lora is not None:
            add_adapters(self.lm, {"exclude_modules": VISION, **lora})
        self.has_unused_parameters = not freeze
        self.frozen = [self.lm] if freeze and lora is None else []
        self.excluded = exclude_from_state(self, self.lm, "lm", frozen=freeze)
        self.train()

    def measure(self) -> None:
        """Set the number of tokens of a fixed prompt, and of the model's context."""
        bare, prompted = (self.context_length(1, 0, prompt) for prompt in ("", self.prompt))
        self.prompt_length = 0 if self.template else prompted - bare
        text = self.lm.config.get_text_config()
        self.context_limit = getattr(text, "max_position_embeddings", None)

    def context_length(self, pictures: int, frames: int, prompt: str = "") -> int:
        """Return the number of tokens of pictures, the frames of a film, and a prompt."""
        side = self.image_size
        shown = torch.zeros(pictures + frames, 3, side, side, dtype=torch.uint8, device="cpu")
        visual = Visual(tuple(shown[:pictures]), shown[pictures:] if frames else None)
        with quiet_logging():
            found = self.prompter([self.prompter.readable(visual)], [prompt])
        return int(found["input_ids"].shape[1])

    def layers(self) -> list[nn.Module]:
        """Return the layers of the language model."""
        lists = (
            module
            for name, module in self.lm.named_modules()
            if isinstance(module, nn.ModuleList) and not fullmatch(VISION, name)
        )
        return [
            layer for found in lists for layer in found if type(layer).__name__.endswith("Layer")
        ]

    @staticmethod
    def tokenizer_json(weights: str, eos: str | None = None) -> str:
        """Return the content of the ``tokenizer.json`` of the weights, with BOS and EOS."""
        return target_tokenizer_json(weights, eos or end_token(weights))

    @staticmethod
    def prompt_template(weights: str, prompt: str, chat: bool) -> str | None:
        """Return a place for the text of the row, if the prompt has one, else None."""
        return PLACE if PLACE in prompt else None

    def prompts(self, context: Context) -> list[str]:
        """Return the prompt of each input."""
        if context.prompt is None:
            assert self.template is None, "the prompt needs the text of each row"
            return [self.prompt] * len(context)
        rows = [row[row != IGNORE_INDEX].tolist() for row in context.prompt]
        texts = [self.prompter.plain(self.prompter.tokenizer.decode(row)) for row in rows]
        return [self.prompt.replace(PLACE, text) for text in texts]

    def arguments(
        self, inputs: list[Visual], prompts: list[str], left: bool = False
    ) -> dict[str, Tensor]:
        """Return the arguments of the model for inputs of one kind, on its device."""
        device, dtype = self.lm.device, self.lm.dtype
        with quiet_logging():
            found = self.prompter(inputs, prompts, left)
        return {
            name: x.to(device, dtype if x.is_floating_point() else None)
            for name, x in found.items()
        }

    def groups(self, context: Context) -> list[tuple[list[int], list[Visual], list[str]]]:
        """Return the inputs that can be processed together: their indices, content and prompts."""
        seen = [self.prompter.readable(visual) for visual in visuals(context, self.trim)]
        prompts = self.prompts(context)
        return [
            (index, [seen[i] for i in index], [prompts[i] for i in index])
            for index in grouped(seen)
        ]

    def forward(self, tokens: Int[Tensor, "s t"], context: Context) -> Float[Tensor, "s t v"]:
        """Return the logits of the token after each of ``tokens``."""
        num_texts = len(tokens) // len(context)
        order, logits = [], []
        for index, inputs, prompts in self.groups(context):
            rows = [i * num_texts + j for i in index for j in range(num_texts)]
            several = [[x for x in part for _ in range(num_texts)] for part in (inputs, prompts)]
            logits.append(self.text_logits(self.arguments(*several), tokens[rows]))  # type: ignore[arg-type]
            order += rows
        return in_order(logits, order)

    def text_logits(
        self, arguments: dict[str, Tensor], tokens: Int[Tensor, "s t"]
    ) -> Float[Tensor, "s t v"]:
        """Return the logits of the token after each of the ``tokens`` behind a prompt."""
        if self.is_encoder_decoder:
            target = decoder_input(self.lm, tokens)
            found = self.lm(**arguments, decoder_input_ids=target, use_cache=False).logits
            return found[:, -tokens.shape[1] :]  # type: ignore[no-any-return]
        length = arguments["attention_mask"].sum(dim=1)
        inputs: dict[str, Any] = extended(arguments, tokens[:, 1:], self.lm.config.model_type)
        total = inputs["input_ids"].shape[1]
        if self.selects_logits:
            inputs["logits_to_keep"] = total + 1 - int(length.min())
        found = self.lm(**inputs, use_cache=False).logits
        before = found.shape[1] - total  # pictures in front of the text, or logits left out
        place = torch.arange(tokens.shape[1], device=tokens.device)
        index = before + (length - 1)[:, None] + place
        return found[torch.arange(len(tokens), device=tokens.device)[:, None], index]  # type: ignore[no-any-return]

    def logits(self, hidden: Float[Tensor, "*s v"]) -> Float[Tensor, "*s v"]:
        """Return the logits, which ``forward`` returns."""
        return hidden

    def start(self, context: Context, beams: int, length: int) -> DecoderState:
        """Not supported: ``generate`` uses the model's own generation."""
        raise NotImplementedError("a published model generates by itself")

    def step(self, tokens: Int[Tensor, "b k"], state: Any, position: int) -> Float[Tensor, "b k d"]:
        """Not supported: ``generate`` uses the model's own generation."""
        raise NotImplementedError("a published model generates by itself")

    @torch.no_grad()
    def generate(
        self,
        source: Iterable[tuple[Context, Tensor]],
        settings: GenerationSettings,
        limits: Limits,
        capacity: int | None = None,
        constraint: Constraint | None = None,
    ) -> Iterator[tuple[Tensor, Texts]]:
        """Yield the texts of the inputs, by the generation of transformers."""
        arguments = generation_settings(self.lm, settings, limits, constraint)
        tracker = make_tracker(constraint, limits.lowered(settings))
        count = 0
        for context, keys in source:
            for index, texts in self.generated(context, keys, arguments, limits, tracker):
                yield index + count, texts
            count += len(context)

    def generated(
        self,
        context: Context,
        keys: Int[Tensor, " b"],
        settings: Mapping[str, Any],
        limits: Limits,
        tracker: Tracker | None,
    ) -> Iterator[tuple[Tensor, Texts]]:
        """Yield the inputs of each group and their texts.

        Args:
            context: Of the inputs.
            keys: Random keys of the inputs; those that are sampled are generated one by one, so
                that a text does not depend on the batch.
            settings: Of ``generate``.
            limits: Of the texts.
            tracker: Follows a constraint.
        """
        for index, inputs, prompts in self.groups(context):
            size = 1 if settings["do_sample"] else len(index)
            for i in range(0, len(index), size):
                part = slice(i, i + size)
                # behind a prompt, generated text continues it; an encoder counts from the left
                left = not self.is_encoder_decoder
                arguments = self.arguments(inputs[part], prompts[part], left=left)
                self.check_length(arguments["input_ids"].shape[1], limits.max_length)
                with torch.random.fork_rng(enabled=settings["do_sample"]):
                    if settings["do_sample"]:
                        torch.manual_seed(int(keys[index[i]]) % 2**63)
                    texts = generated_texts(self.lm, arguments, settings, limits, tracker)
                yield torch.tensor(index[part], device=keys.device), texts

    def check_length(self, input_length: int, max_length: int) -> None:
        """Raise DataError if an input and a text of ``max_length`` exceed the model's context."""
        if self.context_limit is not None and input_length + max_length > self.context_limit:
            raise DataError(
                f"vlm: an input of {input_length} tokens and a text of max_length={max_length} "
                f"exceed the {self.context_limit} of this model; reduce image_size, num_frames, "
                "vlm.prompt or max_length"
            )

    def save_published(self, folder: Path) -> None:
        """Write the model, with adapters merged in, and its processor as transformers does."""
        merge_adapters(self.lm)
        self.lm._hf_peft_config_loaded = False
        with quiet_logging():
            self.lm.save_pretrained(folder)
            self.prompter.processor.save_pretrained(folder)

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return the hash of the weights, which are needed to rebuild the model."""
        return {"prompt_template": self.template, "base_hash": self.base_hash}


def in_order(parts: list[Tensor], order: list[int]) -> Tensor:
    """Concatenate rows that were computed in groups, whose i-th row has place ``order[i]``."""
    rows = torch.cat(parts)
    return rows[torch.tensor(order, device=rows.device).argsort()]
