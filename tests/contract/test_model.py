"""What every fusion and every head promises, in a whole model."""

import pytest
import torch

from mmtx_cli.training.batches.accumulation import with_shares
from mmtx_cli.types import FUSED, IGNORE_INDEX, Batch, ModalityInput
from tests.tiny import (
    FUSIONS,
    HEADS,
    chosen_rows,
    gradients,
    heads_for,
    noisy_where_absent,
    same,
    tiny_batch,
    tiny_model,
)

MIXED = {"text": [4, 0, 7, 0, 2], "image": [1, 2, 0, 0, 1]}
"""Both, one of each, none, both again."""
WHOLE = {"text": [4, 6, 7], "image": [1, 2, 1]}
PRESENCE = {
    "all": WHOLE,
    "text": {**WHOLE, "image": [0, 0, 0]},
    "image": {**WHOLE, "text": [0, 0, 0]},
    "none": {"text": [0, 0, 0], "image": [0, 0, 0]},
    "mixed": MIXED,
}

by_fusion = pytest.mark.parametrize("fusion", FUSIONS)
by_both = pytest.mark.parametrize(
    ("fusion", "head"), [(fusion, head) for fusion in FUSIONS for head in heads_for(fusion)]
)
JOINED = ("concat", "decision")
"""A fusion whose heads read one stream, and one whose heads read several."""
by_head = pytest.mark.parametrize(
    ("fusion", "head"), [(fusion, head) for fusion in JOINED for head in heads_for(fusion)]
)


@pytest.fixture(scope="module", params=FUSIONS)
def model(request):
    """All heads at once on this fusion."""
    return tiny_model(request.param, heads_for(request.param))


def test_streams_match_the_fusion(model):
    streams = model.fusion(model.encode(tiny_batch(model, MIXED)))
    assert set(streams) == set(model.fusion.streams)
    for name, tokens in streams.items():
        assert tokens.x.shape == (*tokens.mask.shape, model.dim), name
        assert tokens.x.isfinite().all()
    assert set(model.encoder) <= set(streams)
    if FUSED in streams:
        present = streams["text"].present | streams["image"].present
        assert streams[FUSED].present.tolist() == present.tolist()


@pytest.mark.parametrize("counts", PRESENCE.values(), ids=PRESENCE)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.quick_cases(50)
def test_any_subset_of_the_modalities(model, counts, training):
    batch = tiny_batch(model, counts)
    model.train(training).zero_grad()
    for name, prediction in model(batch).items():
        assert prediction.loss.shape == ()
        assert prediction.loss.isfinite(), name
        assert all(x.isfinite().all() for x in prediction.outputs.values())
        prediction.loss.backward(retain_graph=True)
    assert all(g.isfinite().all() for g in gradients(model).values())
    model.eval()
    for name, outputs in model.predict(batch).items():
        assert {len(x) for x in outputs.values()} == {len(batch)}, name
        assert all(x.isfinite().all() for x in outputs.values())


BY_THEMSELVES = {"contrastive", "matching", "distillation_image", "distillation_text"}
"""Heads whose loss is no mean over what the batch alone tells."""


@pytest.mark.parametrize("head", HEADS)
def test_micro_batches_have_the_loss_of_the_whole_step(head):
    """With the shares that they have in it, however unequal what they learn from."""
    model = tiny_model("concat", [head]).double()
    batch = tiny_batch(model, {"text": [7, 2, 7, 3, 1], "image": [1, 2, 1, 2, 1]})
    for name, target in batch.targets.items():
        target[1] = torch.nan if target.is_floating_point() else IGNORE_INDEX
        if target.dim() == 2 and name != "answers":
            target[0, 4:] = IGNORE_INDEX
    parts = with_shares(
        model.head.items(), [chosen_rows(batch, rows) for rows in ([0, 1], [2, 3, 4])]
    )
    if head in BY_THEMSELVES:
        assert not any(part.shares for part in parts)
        return
    shares = [float(part.shares[head]) for part in parts]
    assert sum(shares) == pytest.approx(2)
    assert shares[0] != shares[1]
    each = [model(part)[head].loss * share for part, share in zip(parts, shares, strict=True)]
    same(torch.stack(each).mean(), model(batch)[head].loss, 1e-6)


def test_what_is_not_real_changes_no_output(model):
    clean = tiny_batch(model, MIXED)
    inputs = {name: noisy_where_absent(field) for name, field in clean.inputs.items()}
    noisy = Batch(inputs, clean.targets, clean.ids)
    for mode in (True, False):
        model.train(mode)
        a, b = model(clean), model(noisy)
        same({k: p.loss for k, p in b.items()}, {k: p.loss for k, p in a.items()})
    same(model.predict(noisy), model.predict(clean))


def test_a_sample_alone_is_a_sample_in_a_batch(model):
    batch = tiny_batch(model, MIXED)
    together = model.predict(batch)
    for i in range(len(batch)):
        alone = model.predict(chosen_rows(batch, [i], trim=True))
        for name in together:
            same(alone[name], {k: x[i : i + 1] for k, x in together[name].items()}, 1e-5)


def test_the_order_of_the_samples_is_theirs(model):
    batch = tiny_batch(model, MIXED)
    order = [3, 1, 4, 0, 2]
    turned, straight = model.predict(chosen_rows(batch, order)), model.predict(batch)
    for name in straight:
        same(turned[name], {k: x[order] for k, x in straight[name].items()}, 1e-5)
    losses = model(batch), model(chosen_rows(batch, order))
    same(*({name: p.loss for name, p in side.items()} for side in losses), 1e-5)


@by_fusion
@pytest.mark.quick_cases(5)
def test_the_order_of_the_modalities_has_no_meaning(fusion):
    model = tiny_model(fusion, heads_for(fusion))
    batch = tiny_batch(model, MIXED)
    other = tiny_model(fusion, heads_for(fusion), modalities=("image", "text"), seed=5)
    other.load_state_dict(model.state_dict())
    turned = Batch(dict(reversed(batch.inputs.items())), batch.targets, batch.ids)
    same(other.predict(turned), model.predict(batch))


def test_a_saved_state_brings_the_outputs_back(model):
    batch = tiny_batch(model, MIXED)
    other = tiny_model(model_choice(model), [*model.head], seed=5)
    other.load_state_dict(model.state_dict())
    same(other.predict(batch), model.predict(batch))


def model_choice(model):
    """The name in conf/fusion of what the model has."""
    return type(model.fusion).__module__.rpartition(".")[2]


def test_half_precision(model):
    batch = tiny_batch(model, MIXED)
    model.train().zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(batch)
        torch.stack([prediction.loss for prediction in half.values()]).sum().backward()
        message = model.eval().predict(batch)
    whole = model.train()(batch)
    for name, prediction in half.items():
        torch.testing.assert_close(prediction.loss.float(), whole[name].loss, atol=0.1, rtol=0.1)
    assert all(x.isfinite().all() for outputs in message.values() for x in outputs.values())
    assert all(g.isfinite().all() for g in gradients(model).values())
    model.eval()


WHOLE_SAMPLES = ("matching", "prefix_lm")


@by_both
@pytest.mark.quick_cases(50)
def test_gradients_reach_all_that_a_head_reads(fusion, head):
    model = tiny_model(fusion, [head]).train()
    with torch.no_grad():
        for parameter in model.fusion.parameters():  # gates are no longer closed
            parameter.add_(0.2 * torch.randn_like(parameter))
    batch = tiny_batch(model, MIXED)
    model(batch)[head].loss.backward()
    reads = model.head[head].streams
    parts = [f"head.{head}"]
    parts += ["fusion"] if FUSED in reads else []
    streams = model.encoder if FUSED in reads else reads
    parts += [f"{part}.{name}" for part in ("encoder", "project") for name in streams]
    trained = {
        name
        for name, p in model.named_parameters()
        if p.requires_grad and any(name.startswith(f"{part}.") for part in parts)
    }
    found = gradients(model)
    assert found.keys() == trained
    unmoved = [name for name, g in found.items() if not g.any()]
    if head in WHOLE_SAMPLES:  # where a modality is absent, they have nothing to learn
        unmoved = [n for n in unmoved if "stand_ins" not in n and ".absent." not in n]
    assert unmoved == []


@by_head
def test_targets_make_the_loss(fusion, head):
    model = tiny_model(fusion, [head])
    own = model.head[head]
    batch = tiny_batch(model, MIXED, with_targets=False)
    prediction = model(batch)[head]
    assert (prediction.loss is None) == bool(own.targets)
    predicted = model.predict(batch)[head]
    assert predicted
    same(predicted, model.predict(tiny_batch(model, MIXED))[head])


@by_head
def test_metrics_are_computed_only_in_validation(fusion, head):
    model = tiny_model(fusion, [head])
    batch = tiny_batch(model, MIXED)
    figures = model.eval()(batch)[head].metrics
    assert figures.keys() == {*model.head[head].metrics}
    assert all(0 <= value.item() <= 1 for value in figures.values())
    assert model.train()(batch)[head].metrics == {}


DRAWN = ("masked", "matching", "prefix", "self_distillation")
"""What these learn is drawn anew every time: ``tests/head`` has what they learn by heart."""

LEARNING = [
    (f, h)
    for f in FUSIONS
    for h in heads_for(f)
    if h == "classification" or (f in JOINED and not h.startswith(DRAWN))
]
"""One head shows that a fusion learns, two fusions that a head does."""


@pytest.mark.parametrize(("fusion", "head"), LEARNING)
@pytest.mark.quick_cases(5)
def test_learns_a_batch_by_heart(fusion, head):
    model = tiny_model(fusion, [head]).train()
    batch = tiny_batch(model, {"text": [4, 6, 7, 3], "image": [1, 1, 1, 1]}, seed=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = model(batch)[head].loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]


@by_fusion
def test_one_modality_alone(fusion):
    several = "contrastive", "matching", "masked_lm", "prefix_lm", "distillation_text"
    heads = [head for head in heads_for(fusion) if head not in several]
    model = tiny_model(fusion, heads, modalities=("image",))
    batch = tiny_batch(model, {"image": [1, 0, 2]})
    assert all(p.loss.isfinite() for p in model(batch).values())


def test_an_absent_modality_costs_nothing_in_evaluation():
    model = tiny_model()
    batch = tiny_batch(model, PRESENCE["text"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.encoder["image"], "forward", None)
        assert model.encode(batch)["image"].x.shape == (3, 1, model.dim)


def test_a_field_may_be_empty_of_real_content_without_a_trace(model):
    """Two batches that lack a modality agree, whatever shape its raw input has."""
    batch = tiny_batch(model, PRESENCE["text"])
    small = ModalityInput(batch.inputs["image"].data[..., :32, :32], batch.inputs["image"].mask)
    other = Batch({**batch.inputs, "image": small}, batch.targets, batch.ids)
    same(model.predict(other), model.predict(batch), 1e-6)
