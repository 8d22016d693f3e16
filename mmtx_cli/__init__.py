"""mmtx: train, compare and use multimodal transformers without writing code."""

__version__ = "0.1.0"
