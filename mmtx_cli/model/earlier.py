"""The model as early versions trained it: random numbers and batches were other ones."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.counter_rng.tensors import REPLACED
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.types import Batch, ModalityInput, Prediction, Streams, Tokens


class EarlierModel(MultimodalModel):
    """A model of a version that stored no settings of the run in its checkpoints.

    Its heads draw masks and negatives as they did then, so that it is evaluated to the same metrics
    and resumed to the same weights.
    """

    def forward(self, batch: Batch) -> dict[str, Prediction]:
        """Run the heads, with the random numbers of early versions."""
        with earlier_draws(None if self.training else batch.ids):
            return super().forward(batch)

    def predict_views(
        self, batch: Batch, heads: Iterable[str], changes: Sequence[Callable[[Streams], Streams]]
    ) -> list[dict[str, dict[str, Tensor]]]:
        """Predict, with the random numbers of early versions."""
        with earlier_draws(batch.ids):
            return super().predict_views(batch, heads, changes)

    def present_tokens(self, name: str, field: ModalityInput) -> Tokens:
        """Encode all samples: dropout drew numbers for absent ones, too."""
        return self.tokens(name, field)


@contextmanager
def earlier_draws(ids: Sequence[str] | None) -> Iterator[None]:
    """Let ``uniform`` draw as it did before keys: from each id, or in training from torch."""

    def draw(keys: Int[Tensor, "*b"], n: int, purpose: str) -> Float[Tensor, "*b n"]:
        if purpose == "another sample":  # as torch.multinomial draws it
            return torch.empty(*keys.shape, n, device=keys.device).exponential_().neg().exp()
        if ids is None:
            return torch.rand(*keys.shape, n, device=keys.device)
        ending = {"fate": " fate", "other token": " other"}.get(purpose, "")
        seeds = (zlib.crc32(f"{i}{ending}".encode()) for i in ids)
        rows = [torch.rand(n, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(rows).to(keys.device)

    REPLACED.append(draw)
    try:
        yield
    finally:
        REPLACED.pop()
