"""Self-distillation: masked prediction of what the encoder's moving average says."""

import copy

import pytest
import torch

from mmtx_cli.types import ModalityInput
from tests.tiny import at_step, gradients, noisy_where_absent, tiny_batch, tiny_model

CASES = {
    "image": ({"image": [1, 1, 2]}, ()),
    "video": ({"video": [4, 3, 1]}, ()),
    "audio": ({"audio": [48, 30, 20]}, ("encoder/audio=ast", "encoder.audio.stem=patch")),
}


def made(modality, *args):
    counts, own = CASES[modality]
    name = f"self_distillation_{modality}"
    model = tiny_model("decision", [name], [modality], (*own, *args))
    return model, model.head[name], tiny_batch(model, counts)


@pytest.mark.parametrize("modality", CASES)
def test_the_loss_is_the_distance_from_the_averaged_teacher(modality):
    model, head, batch = made(modality)
    model.double()
    view = head.prepare_batch(batch)
    prediction = head(model.streams(view, head.streams, {}), view)
    whole = head.teacher(batch.inputs[modality])
    shown = view.inputs[modality].visible
    total, count = 0.0, 0
    for i in range(len(batch)):
        seen = set(shown.index[i][shown.mask[i]].tolist())
        away = [j for j in range(whole.mask.shape[1]) if whole.mask[i, j] and j not in seen]
        tokens = {j: whole.x[i, j] for j in away}
        tokens = {
            j: (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt() for j, x in tokens.items()
        }
        predicted = prediction.outputs["patches"][i][view.targets["hidden"][i]]
        wanted = view.targets["patches"][i][view.targets["hidden"][i]]
        assert len(wanted) == len(away)
        for t, w in zip(predicted, wanted, strict=True):
            assert min((w - x).abs().max() for x in tokens.values()) < 1e-9
            total += (t - w).square().mean()
        count += len(away)
    torch.testing.assert_close(prediction.loss, total / count, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("modality", CASES)
def test_the_student_does_not_see_its_targets(modality):
    model, head, batch = made(modality)
    view = head.prepare_batch(batch)
    predicted = head(model.streams(view, head.streams, {}), view).outputs["patches"]
    field = view.inputs[modality]
    tokens = model.encoder[modality](field)
    assert tokens.mask.sum() == field.visible.mask.sum()
    other = noisy_where_absent(batch.inputs[modality])
    noisy = ModalityInput(other.data, other.mask, field.visible)
    again = head(model.streams(_with(view, modality, noisy), head.streams, {}), view)
    there = view.targets["hidden"]
    torch.testing.assert_close(
        again.outputs["patches"][there], predicted[there], atol=1e-5, rtol=1e-5
    )


def _with(batch, modality, field):
    return type(batch)({**batch.inputs, modality: field}, batch.targets, batch.ids)


def test_the_average_follows_the_student():
    model, head, batch = made("image", "head.self_distillation_image.decay=0.75")
    student, teacher = model.encoder["image"], head.teacher
    with torch.no_grad():
        for p in student.parameters():
            p.add_(1.0)
    model.train()
    model(batch)
    for a, b in zip(teacher.parameters(), student.parameters(), strict=True):
        assert torch.equal(a, b), "the first time all the way: weights may have been loaded"
    before = copy.deepcopy(teacher.state_dict())
    with torch.no_grad():
        for p in student.parameters():
            p.add_(1.0)
    model(batch)
    for name, p in teacher.named_parameters():
        torch.testing.assert_close(p, before[name] + 0.25)
    model.eval()
    kept = copy.deepcopy(teacher.state_dict())
    model(batch)
    assert all(torch.equal(kept[name], x) for name, x in teacher.state_dict().items())


def test_the_gradient_reaches_the_student_alone():
    model, head, batch = made("image")
    model.train()
    assert not head.teacher.training
    model(batch)["self_distillation_image"].loss.backward()
    found = gradients(model)
    assert any(name.startswith("encoder.image") for name in found)
    assert not any(".teacher." in name for name in found)


def test_a_copy_of_the_model_follows_itself():
    model, _, _ = made("image")
    other = copy.deepcopy(model)
    assert other.head["self_distillation_image"].student[0] is other.encoder["image"]


@pytest.mark.parametrize("modality", CASES)
@pytest.mark.quick_cases(1)
def test_a_few_samples_are_learned(modality):
    torch.manual_seed(0)
    name = f"self_distillation_{modality}"
    model, _, batch = made(modality, f"head.{name}.decay=0.99")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    model.train()
    losses = []
    for step in range(80):
        loss = model(at_step(batch, step))[name].loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) < 0.4 * sum(losses[:10])
