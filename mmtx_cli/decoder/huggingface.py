"""Pretrained causal language models of the transformers library as decoders.

The connector turns the context into vectors of the model's width, which stand before the text like
embeddings of words: [begin] [context] [prompt] [text].
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mmtx_cli.config.preprocessing import PLACE
from mmtx_cli.connector.base import Connector
from mmtx_cli.decoder.base import Decoder, zero_padding
from mmtx_cli.decoder.language_model import (
    add_adapters,
    checked_hash,
    has_plain_output,
    hidden_states,
    language_model,
    merge_adapters,
)
from mmtx_cli.decoder.layout import Layout, move_padding, one_by_one, packed
from mmtx_cli.decoder.lm_arguments import argument_fault, check_template
from mmtx_cli.decoder.lm_state import LanguageModelState
from mmtx_cli.decoder.lm_tokenizer import encode_prompt, prompt_parts, target_tokenizer_json
from mmtx_cli.decoder.self_check import check_decoding, check_packing
from mmtx_cli.decoder.stored_state import exclude_from_state, tied_names
from mmtx_cli.decoder.words import WordPredictor
from mmtx_cli.hub.huggingface import rebuild_kwargs
from mmtx_cli.layer.context import Context
from mmtx_cli.layer.freeze import Freezable
from mmtx_cli.types import IGNORE_INDEX


class HuggingFaceDecoder(Freezable, Decoder):
    """A causal language model: Llama, SmolLM, Qwen, Gemma, GPT-2, OPT, …

    Requires ``pip install mmtx[hf]``, and ``mmtx[peft]`` for LoRA. Pretrained weights come with
    their tokenizer. Reads the context through a connector (group ``connector``).
    """

    brings_tokenizer: ClassVar[bool] = True
    takes_connector: ClassVar[bool] = True

    def __init__(
        self,
        bos_id: int,
        vocab_size: int | None = None,
        max_length: int = 64,
        weights: str | None = None,
        architecture: str = "llama",
        width: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        config: dict[str, Any] | None = None,
        freeze: bool = True,
        lora: dict[str, Any] | None = None,
        dtype: str = "float32",
        objective: str = "text",
        prompt: str = "",
        chat: bool = False,
        eos: str | None = None,
        pack: int = 0,
        prompt_ids: list[list[int]] | None = None,
        prompt_template: str | None = None,
        base_hash: str | None = None,
    ) -> None:
        """``weights`` is a model on huggingface.co, a local folder, a .gguf file, or null.

        If it is null, a new model of ``architecture`` (a ``model_type`` of transformers) with
        ``width``, ``depth`` and ``num_heads`` is trained; ``config`` sets further values of its
        configuration. ``freeze`` freezes the model; ``lora`` (arguments of ``peft.LoraConfig``, for
        example ``{r: 16, lora_alpha: 32}``) adds LoRA adapters to the frozen model. ``dtype`` is
        the type of frozen weights. ``objective=words`` trains the connector alone to predict the
        words of the texts, as a first stage. ``prompt`` is a text between the context and the
        generated text, in which ``{text}`` stands for the text of the row; with ``chat``, the
        context and the prompt are the user's turn in the tokenizer's chat template. ``eos`` is the
        end token of a tokenizer that has none. ``pack`` packs the texts of several samples into
        sequences of that many tokens in training; 0 does not. ``prompt_ids``, ``prompt_template``
        and ``base_hash`` are set by mmtx when it saves a model.
        """
        super().__init__()
        if fault := argument_fault(weights, freeze, lora, dtype, objective, prompt, prompt_ids):
            raise ValueError(fault)
        self.max_length, self.pack, self.objective = max_length, pack, objective
        sizes = {"width": width, "depth": depth, "num_heads": num_heads}
        values = {"vocab_size": vocab_size, **(config or {})}
        self.lm: Any = language_model(weights, dtype, architecture, sizes, values)
        self.base_hash = weights and checked_hash(self.lm, weights, base_hash, "decoder")
        self.prompt, self.template = tuple(prompt_ids or ([bos_id], [])), prompt_template
        if weights is not None and prompt_ids is None:
            self.prompt = encode_prompt(weights, prompt, chat, bos_id)
            self.template = self.prompt_template(weights, prompt, chat)
            check_template(prompt_template, self.template)
        if freeze:
            self.lm.requires_grad_(False)
        if lora is not None:
            add_adapters(self.lm, lora)
        self.frozen = [self.lm] if freeze and lora is None else []
        self.plain_output = has_plain_output(self.lm)
        self.base: str | None = weights if freeze else None
        self.excluded = exclude_from_state(self, self.lm, "lm", frozen=self.base is not None)
        self.connector: Connector = None  # type: ignore[assignment]
        self.train()

    @property
    def width(self) -> int:
        """Width of the embeddings."""
        return int(self.lm.get_input_embeddings().weight.shape[1])

    @staticmethod
    def tokenizer_json(weights: str, eos: str | None = None) -> str:
        """Return the content of the ``tokenizer.json`` of the weights, with BOS and EOS."""
        return target_tokenizer_json(weights, eos)

    @staticmethod
    def prompt_template(weights: str, prompt: str, chat: bool) -> str | None:
        """Return what follows the context, if it has the text of the row, else None."""
        return prompt_parts(weights, prompt, chat)[1] if PLACE in prompt else None

    def connector_kwargs(self) -> dict[str, Any]:
        """Return the width, the layers, and the root mean square of the embeddings."""
        with torch.no_grad():
            ids = torch.arange(min(1000, self.lm.config.vocab_size), device=self.embedding_device)
            scale = self.embed(ids).float().square().mean().sqrt().item()
        return {"width": self.width, "layers": self.layers(), "scale": scale}

    def layers(self) -> list[nn.Module]:
        """Return the layers of the language model."""
        lists = (m for m in self.lm.modules() if isinstance(m, nn.ModuleList))
        return list(next(lists, []))

    def connect(self, connector: nn.Module) -> None:
        """Read the context through ``connector``."""
        assert isinstance(connector, Connector)
        self.connector = connector
        if self.objective == "words":
            if connector.inserts_layers:
                raise ValueError("objective=words: this connector makes no tokens; use another one")
            self.words = WordPredictor(len(self.lm.get_input_embeddings().weight))
        self.context_tokens = connector.max_tokens
        self.prompt_length = sum(map(len, self.prompt)) if self.template is None else 0
        names = ("max_position_embeddings", "n_positions", "max_seq_len")
        limits = (getattr(self.lm.config, name, None) for name in names)
        self.context_limit = next((limit for limit in limits if limit), None)
        check_decoding(self, self.lm.config)
        if self.pack:
            check_packing(self, self.lm.config)

    @property
    def embedding_device(self) -> torch.device:
        """Device of the embeddings."""
        return self.lm.get_input_embeddings().weight.device

    def embed(self, tokens: Int[Tensor, "*s"]) -> Float[Tensor, "*s d"]:
        """Return the embeddings of token IDs."""
        return self.lm.get_input_embeddings()(tokens)

    def prefix(self, context: Context) -> tuple[Float[Tensor, "b p d"], Bool[Tensor, "b p"]]:
        """Return what stands before the texts of each input, and where it is real."""
        tokens = self.connector(context)
        b, device = len(context), tokens.x.device
        before, after = (
            torch.tensor(ids, dtype=torch.long, device=device).expand(b, -1) for ids in self.prompt
        )
        own = after if context.prompt is None else context.prompt
        parts = [self.embed(before), tokens.x, self.embed(zero_padding(own))]
        dtype = parts[0].dtype
        masks = [torch.ones_like(before, dtype=torch.bool), tokens.mask, own != IGNORE_INDEX]
        return torch.cat([x.to(dtype) for x in parts], dim=1), torch.cat(masks, dim=1)

    def forward(self, tokens: Int[Tensor, "s t"], context: Context) -> Float[Tensor, "s t d"]:
        """Return the hidden states that predict the token after each of ``tokens``.

        BOS stands for the end of the prefix, whose last state predicts the first word.
        """
        prefix, mask = self.prefix(context)
        words = tokens[:, 1:]
        length = words.shape[1]
        layout = self.layout(mask, words)
        pool = torch.cat(
            [
                prefix.flatten(0, 1),
                self.embed(zero_padding(words)).flatten(0, 1).to(prefix.dtype),
                prefix.new_zeros(1, prefix.shape[2]),
            ]
        )
        attended = layout.attended
        if attended is not None:
            lowest = torch.finfo(prefix.dtype).min
            attended = torch.zeros_like(attended, dtype=prefix.dtype).masked_fill(~attended, lowest)
        hidden = self.states(
            inputs_embeds=pool[layout.index],
            attention_mask=attended,
            position_ids=None if layout.attended is None else layout.position,
            use_cache=False,
        )
        return hidden.flatten(0, 1)[layout.states].view(len(tokens), length + 1, -1)

    def text_loss(
        self,
        tokens: Int[Tensor, "s t"],
        target: Int[Tensor, "s t"],
        context: Context,
        smoothing: float = 0.0,
    ) -> Float[Tensor, ""]:
        """Return the loss of the texts; with ``objective=words``, that of their words."""
        if self.objective == "text":
            return super().text_loss(tokens, target, context, smoothing)
        log_probs = self.words(self.connector(context), self.lm.get_input_embeddings().weight)
        return self.words.loss(log_probs, target)

    def states(self, **inputs: Any) -> Float[Tensor, "r l d"]:
        """Return the last hidden states; the logits, if more than a matrix computes them."""
        if self.plain_output:
            return hidden_states(self.lm, **inputs)
        return self.lm(**inputs).logits  # type: ignore[no-any-return]

    def layout(self, mask: Bool[Tensor, "b p"], words: Int[Tensor, "s t"]) -> Layout:
        """Return where the prefixes and texts stand in the sequences of the model."""
        num_texts, length = len(words) // len(mask), words.shape[1]
        if not (self.pack and self.training):
            return one_by_one(mask, num_texts, length)
        lengths = (words != IGNORE_INDEX).sum(dim=1).view(-1, num_texts)
        return packed(mask, lengths, length, self.pack)

    def logits(self, hidden: Float[Tensor, "*s d"]) -> Float[Tensor, "*s v"]:
        """Return the logits of hidden states."""
        return self.lm.get_output_embeddings()(hidden) if self.plain_output else hidden

    def output_weight(self) -> Float[Tensor, "v d"] | None:
        """Return the weight of the output layer, if there is nothing else."""
        return self.lm.get_output_embeddings().weight if self.plain_output else None

    def start(self, context: Context, beams: int, length: int) -> LanguageModelState:
        """Read the prefix."""
        from transformers import DynamicCache

        from mmtx_cli.decoder.beam_cache import expand_cache

        x, mask = move_padding(*self.prefix(context), to_left=True)
        cache = DynamicCache(config=self.lm.config)
        inputs: dict[str, Any] = {"inputs_embeds": x}
        if is_padded := not mask.all():
            position = (mask.cumsum(dim=1) - 1).clamp(min=0)
            inputs |= {"attention_mask": mask.long(), "position_ids": position}
        hidden = self.states(**inputs, past_key_values=cache, use_cache=True)
        rows = torch.arange(len(x), device=x.device).repeat_interleave(beams)
        expand_cache(cache, rows, beams, length)
        mask = mask[rows]
        return LanguageModelState(
            cache=cache,
            first=hidden[:, -1],
            mask=mask if is_padded else None,
            length=mask.sum(dim=1),
            connector=self.connector,
            beams=beams,
            new=length,
            begin=torch.zeros(len(x), dtype=torch.long, device=x.device),
        )

    def step(
        self, tokens: Int[Tensor, "b k"], state: LanguageModelState, position: int
    ) -> Float[Tensor, "b k d"]:
        """Return the hidden states that predict the token after ``tokens``."""
        b, k = tokens.shape
        first = state.first[:, None].expand(b, k, -1)
        if position == 0:  # BOS stands for the end of the prefix
            return first
        embeddings = self.embed(tokens.reshape(b * k, 1))
        hidden = self.states(
            inputs_embeds=embeddings,
            past_key_values=state.cache,
            use_cache=True,
            **state.inputs(position),
        )
        hidden = hidden[:, -1].view(b, k, -1)
        is_new = state.begin == position
        return torch.where(is_new[:, None, None], first, hidden) if is_new.any() else hidden

    def merge(self) -> dict[str, Any]:
        """Merge LoRA adapters and include the language model in the state dict."""
        merge_adapters(self.lm)
        self.base = None
        self.excluded.clear()
        self.excluded.update(tied_names(self.lm))
        return {**self.rebuild_kwargs(), "lora": None, "base_hash": None}

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return the hash of frozen weights, which are not saved; for others, arguments of the same
        architecture with random weights, and the prompt's tokens.
        """
        own: dict[str, Any] = {"prompt_template": self.template}
        if self.base is not None:
            return {**own, "base_hash": self.base_hash}
        tokens = [list(part) for part in self.prompt]
        fixed = {"prompt": "", "chat": False, "prompt_ids": tokens}
        return {**own, **rebuild_kwargs(self.lm.config), **fixed}
