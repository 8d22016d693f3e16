import pytest
import torch

from mmtx_cli.config.schema import OptimizerSettings
from mmtx_cli.training.mean_accumulator import MeanAccumulator
from mmtx_cli.training.module import TrainingModule
from mmtx_cli.types import IGNORE_INDEX
from tests.tiny import composed, tiny_batch


class TestTally:
    def test_means_weigh_by_count(self):
        tally = MeanAccumulator()
        tally.add("a", torch.tensor(1.0), 3)
        tally.add("a", torch.tensor(5.0), torch.tensor(1))
        tally.add("b", torch.tensor(2.5, dtype=torch.bfloat16), torch.tensor(7))
        assert tally.means() == {"a": 2.0, "b": 2.5}

    def test_begins_anew(self):
        tally = MeanAccumulator()
        assert tally.means() == {}
        tally.add("a", torch.tensor(1.0), 1)
        tally.means()
        assert tally.means() == {}
        tally.add("a", torch.tensor(3.0), 1)
        assert tally.means() == {"a": 3.0}

    def test_a_count_of_nothing(self):
        tally = MeanAccumulator()
        tally.add("a", torch.tensor(0.0), torch.tensor(0))
        assert tally.means() == {"a": 0.0}


ARGS = (
    "encoder/text=transformer",
    "encoder/image=vit",
    "fusion=concat",
    "head=[classification,captioning]",
    "encoder.text.dropout=0.5",
    "head.captioning.weight=0.25",
)
COUNTS = {"text": [3, 0, 5], "image": [1, 2, 0]}


def module_of(**kwargs):
    return TrainingModule({"model": composed(*ARGS)}, OptimizerSettings(), 10, **kwargs)


@pytest.fixture
def module():
    made = module_of(seed=1)
    made.train()
    return made


def test_the_seed_decides_the_weights():
    one, same, other = (module_of(seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(x, same[name]) for name, x in one.items())
    assert not all(torch.equal(x, other[name]) for name, x in one.items())


def test_heads_add_up_by_weight(module):
    batch = tiny_batch(module.model, COUNTS)
    total = module.training_step(batch, 0)
    means = module.step_tally.means()
    wanted = means["classification/loss"] + 0.25 * means["captioning/loss"]
    assert total.item() == pytest.approx(wanted, rel=1e-5)
    assert means["loss"] == pytest.approx(wanted, rel=1e-5)


def test_a_step_draws_by_its_number(module):
    """Dropout is that of the batch, whatever was drawn before."""
    batch = tiny_batch(module.model, COUNTS)
    first = module.training_step(batch, 4)
    torch.rand(17)
    assert torch.equal(module.training_step(batch, 4), first)
    assert not torch.equal(module.training_step(batch, 5), first)


def test_what_is_frozen():
    module = module_of(freeze=("encoder.text", "fusion"))
    batch = tiny_batch(module.model, COUNTS)
    module.model.head.train()
    module.training_step(batch, 0).backward()
    for name, p in module.model.named_parameters():
        assert (p.grad is None) == name.startswith(("encoder.text.", "fusion.")), name
    assert not module.model.encoder["text"].training


def test_a_checkpoint_knows_its_model(module):
    checkpoint = {}
    module.on_save_checkpoint(checkpoint)
    assert checkpoint["config"] == module.config


def test_validation_logs_the_accuracy_of_all_samples(module, monkeypatch):
    logged = {}
    monkeypatch.setattr(module, "log_dict", lambda values, **_: logged.update(values))
    module.eval()
    right, count = 0, 0
    with torch.no_grad():
        for seed, counts in enumerate(({"text": [3, 4, 5], "image": [1, 1, 1]}, COUNTS)):
            batch = tiny_batch(module.model, counts, seed=seed)
            batch.targets["label"][0] = IGNORE_INDEX
            module.validation_step(batch, seed)
            predicted = module.model(batch)["classification"].outputs["logits"].argmax(dim=1)
            right += int((predicted == batch.targets["label"]).sum())
            count += len(batch) - 1
        module.on_validation_epoch_end()
    assert logged["val/classification/accuracy"] == pytest.approx(right / count)
    assert {"val/loss", "val/classification/loss", "val/captioning/loss"} <= logged.keys()
    assert "val/captioning/accuracy" not in logged
