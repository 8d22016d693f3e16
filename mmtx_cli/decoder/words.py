"""Prediction of the words of a text from the context alone, to align a connector.

A language model can read context tokens that lie near the embeddings of words for what they show.
A connector learns this within minutes, because the language model itself is not run.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.types import IGNORE_INDEX, Tokens

SCALE = 20.0
"""Factor of the cosine similarities."""
BIAS_GAIN = 30.0
"""The frequencies of words range over many orders of magnitude, which the bias has to learn in few
steps of the optimizer."""


class WordPredictor(nn.Module):
    """A unigram model of the text given the context.

    The logit of a word is the log-mean-exp, over the context tokens, of the scaled cosine
    similarity of the token and the word's centered embedding, plus a bias per word. So each token
    may stand for other words, as in multiple-instance learning.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, context: Tokens, embeddings: Float[Tensor, "v d"]) -> Float[Tensor, "b v"]:
        """Return the log-probabilities of all words for each input."""
        words = F.normalize(embeddings.float() - embeddings.float().mean(dim=0), dim=1)
        similarity = SCALE * F.normalize(context.x.float(), dim=2) @ words.T
        present = context.mask[..., None]
        lowest = torch.finfo(similarity.dtype).min
        count = present.sum(dim=1).clamp(min=1)
        logits = similarity.float().masked_fill(~present, lowest).logsumexp(dim=1) - count.log()
        logits = torch.where(context.present[:, None], logits, 0)
        return (logits + BIAS_GAIN * self.bias).log_softmax(dim=1)

    def loss(
        self, log_probs: Float[Tensor, "b v"], target: Int[Tensor, "s t"]
    ) -> Float[Tensor, ""]:
        """Return the sum of the cross-entropy over the tokens of the texts of each input."""
        words = target.reshape(len(log_probs), -1)
        found = log_probs.gather(1, words.clamp(min=0))
        return -found.masked_fill(words == IGNORE_INDEX, 0).sum()
