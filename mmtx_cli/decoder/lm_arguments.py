"""Checks of the arguments of a language model as a decoder."""


def argument_fault(
    weights: str | None,
    freeze: bool,
    lora: object,
    dtype: str,
    objective: str,
    prompt: str,
    prompt_ids: object,
) -> str | None:
    """Return why arguments of the decoder do not fit together, or None.

    Args:
        weights: As for the decoder, like all others.
        freeze: Whether the model is frozen.
        lora: Settings of the adapters.
        dtype: Type of frozen weights.
        objective: What is trained.
        prompt: Text of the prompt.
        prompt_ids: Tokens of the prompt of a trained model.
    """
    if dtype not in ("float32", "bfloat16"):
        return f"dtype={dtype!r}: must be float32 or bfloat16"
    if objective not in ("text", "words"):
        return f"objective={objective!r}: must be text or words"
    if objective == "words" and (lora is not None or not freeze):
        return "objective=words: trains the connector alone; remove lora and freeze=false"
    if weights is None and freeze and prompt_ids is None:
        return "weights: required; to train a new model instead, set freeze=false"
    if lora is not None and not freeze:
        return "lora: trains adapters of a frozen model; remove freeze=false"
    if dtype != "float32" and not freeze:
        return f"dtype={dtype}: only for frozen weights; remove it, or freeze=false"
    if prompt and prompt_ids is not None:
        return "prompt: that of this trained model cannot be changed; remove it"
    if prompt and weights is None:
        return "prompt: needs the tokenizer of pretrained weights; set weights"
    return None


def check_template(trained: str | None, template: str | None) -> None:
    """Raise ValueError if a trained model's template of the prompt differs from the given one."""
    if trained not in (None, template):
        raise ValueError("prompt: differs from that of the trained model; remove it")
