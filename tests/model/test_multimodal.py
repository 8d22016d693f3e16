import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmtx_cli.head.classification import ClassificationHead
from mmtx_cli.types import Batch, ModalityInput
from tests.tiny import DIM, chosen_rows, noisy_where_absent, same, tiny_batch, tiny_model

COUNTS = {"text": [4, 0, 2], "image": [1, 2, 0]}


@pytest.fixture
def model():
    return tiny_model("concat", ["classification", "captioning"])


def test_streams_have_the_shared_width_and_zeros_where_nothing_is(model):
    batch = tiny_batch(model, COUNTS)
    for name, tokens in model.encode(batch).items():
        assert tokens.x.shape == (*tokens.mask.shape, DIM), name
        assert not tokens.x[~tokens.mask].any()
        assert tokens.x[tokens.mask].abs().amax(dim=1).min() > 0


def test_in_training_an_absent_modality_is_encoded_all_the_same(model):
    batch = tiny_batch(model, {**COUNTS, "text": [0, 0, 0]})
    model.train()
    torch.stack([p.loss for p in model(batch).values()]).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert not any(p.grad.any() for p in model.encoder["text"].parameters())


def test_encoders_may_have_another_width():
    model = tiny_model(args=("encoder.text.width=12", "encoder.image.width=20"))
    assert model.project["text"].in_features == 12
    assert model.project["image"].in_features == 20
    assert {t.x.shape[-1] for t in model.encode(tiny_batch(model, COUNTS)).values()} == {DIM}


def test_only_requested_heads_are_run(model):
    batch = tiny_batch(model, COUNTS)
    assert set(model.predict(batch)) == {"classification", "captioning"}
    assert set(model.predict(batch, ["classification"])) == {"classification"}
    assert not model.predict(batch)["classification"]["logits"].requires_grad


class BlindHead(ClassificationHead):
    """Wants the text covered."""

    def prepare_batch(self, batch):
        text = batch.inputs["text"]
        covered = ModalityInput(text.data, torch.zeros_like(text.mask))
        return Batch({**batch.inputs, "text": covered}, batch.targets, batch.ids)


def test_each_head_sees_its_own_view(model):
    names = model.head["classification"].label_names
    blind = BlindHead(DIM, ["fused"], names)
    blind.load_state_dict(model.head["classification"].state_dict())
    model.head["blind"] = blind.eval()
    batch = tiny_batch(model, COUNTS)
    seen = {name: p.outputs for name, p in model(batch).items()}
    covered = model.head["blind"].prepare_batch(batch)
    same(seen["blind"], model(covered)["classification"].outputs, 1e-6)
    assert not torch.allclose(seen["blind"]["logits"][0], seen["classification"]["logits"][0])
    torch.testing.assert_close(seen["blind"]["logits"][1], seen["classification"]["logits"][1])
    # what one head wants covered stays open for the others
    del model.head["blind"]
    same(
        {"classification": model(batch)["classification"].outputs},
        {"classification": seen["classification"]},
    )
    same(model(covered)["classification"].outputs, model(clean(covered))["classification"].outputs)


def clean(batch):
    inputs = {name: noisy_where_absent(field) for name, field in batch.inputs.items()}
    return Batch(inputs, batch.targets, batch.ids)


def losses_and_gradients(model, batch):
    torch.manual_seed(3)
    model.zero_grad()
    loss = model.train()(batch)["contrastive"].loss
    loss.backward()
    return loss.detach(), {
        n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
def test_encoding_a_part_at_a_time_is_encoding_the_batch(loss):
    """GradCache: loss and gradients of the whole batch, activations of a part."""
    args = [f"head.contrastive.loss={loss}"]
    model = tiny_model("decision", ["contrastive"], args=args).double()
    batch = tiny_batch(model, {"text": [3, 0, 5, 2, 7], "image": [1, 1, 0, 1, 1]})
    whole = losses_and_gradients(model, batch)
    model.encode_batch = 2
    parts = losses_and_gradients(model, batch)
    torch.testing.assert_close(parts, whole, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
def test_recomputed_activations_match_the_originals(loss, monkeypatch):
    """With dropout: against the same parts whose activations are all kept."""
    args = ["encoder.text.dropout=0.5", "encoder.image.dropout=0.5"]
    args += [f"head.contrastive.loss={loss}"]
    model = tiny_model("decision", ["contrastive"], args=args).double()
    model.encode_batch = 2
    batch = tiny_batch(model, {"text": [3, 0, 5, 2, 7], "image": [1, 1, 0, 1, 1]})
    anew = losses_and_gradients(model, batch)
    monkeypatch.setattr(
        "mmtx_cli.model.multimodal.checkpoint", lambda encoder, part, **_: encoder(part)
    )
    torch.testing.assert_close(losses_and_gradients(model, batch), anew, atol=1e-12, rtol=1e-10)


PEAKS = """
import sys
from pathlib import Path
import torch
from tests.tiny import tiny_batch, tiny_model

def highest():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

torch.set_num_threads(1)
sizes = ["width=32", "depth=4", "patch_size=8"]
args = [f"encoder.image.{size}" for size in sizes]
model = tiny_model("decision", ["contrastive"], args=args).train()
batch = tiny_batch(model, {"text": [4] * 256, "image": [1] * 256})
model.encode_batch = 1  # what it imports and keeps comes first
model(tiny_batch(model, {"text": [4] * 2, "image": [1] * 2}))["contrastive"].loss.backward()
for model.encode_batch in (8, None):
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = highest()
    model(batch)["contrastive"].loss.backward()
    print(highest() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads its peak memory from /proc")
@pytest.mark.slow
def test_parts_need_the_memory_of_a_part():
    path = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", PEAKS],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    parts, whole = map(int, done.stdout.split())
    assert whole > 60_000  # kB: activations, not noise
    assert parts < 0.4 * whole


def test_parts_draw_the_same_dropout_again():
    args = ["encoder.text.dropout=0.5", "encoder.image.dropout=0.5"]
    model = tiny_model("decision", ["contrastive"], args=args).double()
    model.encode_batch = 2
    batch = tiny_batch(model, {"text": [3, 4, 5, 2, 7], "image": [1, 1, 1, 1, 1]})
    loss, gradients = losses_and_gradients(model, batch)
    name = "encoder.image.transformer.blocks.0.norm1.weight"
    weight = model.get_parameter(name)
    found = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            weight[0] += step
        found.append(losses_and_gradients(model, batch)[0])
        with torch.no_grad():
            weight[0] -= step
    slope = (found[0] - found[1]) / 2e-6
    torch.testing.assert_close(gradients[name][0], slope, atol=1e-6, rtol=1e-4)
    assert loss.isfinite()


class TestMeant:
    """A head learns from the samples that it is meant to learn from, and from no other."""

    HEADS = ("contrastive", "masked_image", "classification", "captioning")
    COUNTS = {"text": [4, 6, 7, 3, 2], "image": [1, 1, 2, 1, 1]}
    ROWS = (0, 2, 3)

    def losses(self, batch, fusion="concat"):
        model = tiny_model(fusion, self.HEADS).double()
        return {name: p.loss for name, p in model(doubled(batch)).items()}, model

    def batch(self):
        return tiny_batch(tiny_model("concat", self.HEADS), self.COUNTS)

    @pytest.mark.parametrize("fusion", ["concat", "gated"])
    def test_the_loss_is_that_of_those_samples_alone(self, fusion):
        batch = self.batch()
        rows = torch.zeros(5, dtype=torch.bool)
        rows[list(self.ROWS)] = True
        some = replace(batch, head_masks=dict.fromkeys(self.HEADS, rows))
        found, _ = self.losses(some, fusion)
        alone, _ = self.losses(chosen_rows(batch, self.ROWS), fusion)
        for name in self.HEADS:
            torch.testing.assert_close(found[name], alone[name], atol=1e-9, rtol=1e-9)

    def test_the_others_are_not_disturbed(self):
        batch = self.batch()
        few = {"contrastive": torch.tensor([True, False, False, False, True])}
        whole, _ = self.losses(batch)
        found, _ = self.losses(replace(batch, head_masks=few))
        assert found["contrastive"] != whole["contrastive"]
        for name in self.HEADS[1:]:
            assert torch.equal(found[name], whole[name])

    def test_an_idle_head_says_nothing(self):
        idle = frozenset(["contrastive"])
        found, _ = self.losses(replace(self.batch(), inactive_heads=idle))
        assert [*found] == [*self.HEADS[1:]]

    def test_what_a_batch_lacks_is_not_encoded(self):
        batch = tiny_batch(tiny_model("concat", self.HEADS), {**self.COUNTS, "image": [0] * 5})
        known = replace(batch.inputs["image"], empty=True)
        lacking = replace(batch, inputs={**batch.inputs, "image": known})
        torch.manual_seed(0)
        whole, model = self.losses(batch)
        torch.manual_seed(0)
        found, _ = self.losses(lacking)
        for name in self.HEADS:
            torch.testing.assert_close(found[name], whole[name], atol=1e-12, rtol=1e-12)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model.encoder["image"], "forward", None)
            model.train()
            model.encode(doubled(lacking))


def doubled(batch):
    return batch.map(lambda x: x.double() if x.is_floating_point() else x)
