"""Names of the strategies: how processes share the work."""

FSDP2 = "fsdp2"
"""Training with sharded parameters, gradients and optimizer state."""


def inference_strategy(name: str) -> str:
    """Return the strategy for evaluation and inference: every process holds the whole model.

    Texts differ in length, and processes in their number of batches: blocks that are gathered when
    they are called would wait for processes that do not call them.
    """
    return "ddp" if name == FSDP2 else name
