"""Distillation from an encoder, and from a trained model."""

import copy

import pytest
import torch

from mmtx_cli.errors import ConfigError
from mmtx_cli.io.model_folder import save_folder
from mmtx_cli.model.build import build_model
from tests.messages import raises
from tests.tiny import composed, gradients, tiny_batch, tiny_model

COUNTS = {"text": [5, 3, 0, 4, 6], "image": [1, 1, 1, 0, 2]}
VIT = (
    "encoder/image@head.distillation_image.teacher=vit",
    "~head.distillation_image.teacher.weights",
    "head.distillation_image.teacher.width=24",
)


def made(*args, fusion="concat"):
    model = tiny_model(fusion, ["distillation_image"], args=(*VIT, *args)).double()
    head = model.head["distillation_image"]
    head.teacher.model.double()
    return model, head


def naive_feature(head, streams, field):
    total, count = 0.0, 0
    for i in range(len(field.mask)):
        rows = torch.cat([streams[n].x[i][streams[n].mask[i]] for n in head.streams])
        if not len(rows) or not field.mask[i].any():
            continue
        student = head.project(rows.mean(dim=0))
        one = type(field)(field.data[i : i + 1], field.mask[i : i + 1])
        tokens = head.teacher.model(one)
        teacher_rows = tokens.x[0][tokens.mask[0]].mean(dim=0)
        total = total + 1 - (student @ teacher_rows) / (student.norm() * teacher_rows.norm())
        count += 1
    return total / count


def naive_relation(head, streams, field):
    student, teacher_rows = [], []
    for i in range(len(field.mask)):
        rows = torch.cat([streams[n].x[i][streams[n].mask[i]] for n in head.streams])
        if len(rows) and field.mask[i].any():
            student.append(head.project(rows.mean(dim=0)))
            tokens = head.teacher.model(type(field)(field.data[i : i + 1], field.mask[i : i + 1]))
            teacher_rows.append(tokens.x[0][tokens.mask[0]].mean(dim=0))
    pairs = [(i, j) for i in range(len(student)) for j in range(len(student)) if i != j]
    mine = torch.stack([(student[i] - student[j]).norm() for i, j in pairs])
    theirs = torch.stack([(teacher_rows[i] - teacher_rows[j]).norm() for i, j in pairs])
    apart = mine / mine.mean() - theirs / theirs.mean()
    each = torch.where(apart.abs() < 1, apart**2 / 2, apart.abs() - 0.5)
    return each.sum() / len(student) ** 2  # a sample is at no distance from itself


@pytest.mark.parametrize(
    ("kind", "naive"), [("feature", naive_feature), ("relation", naive_relation)]
)
@pytest.mark.parametrize("reads", [[], ["head.distillation_image.streams=[fused]"]])
def test_the_loss_is_what_is_written(kind, naive, reads):
    model, head = made(f"head.distillation_image.kind={kind}", *reads)
    batch = tiny_batch(model, COUNTS)
    batch = batch.map(lambda x: x.double() if x.is_floating_point() else x)
    streams = model.streams(batch, head.streams, {})
    found = head(streams, batch).loss
    torch.testing.assert_close(
        found, naive(head, streams, batch.inputs["image"]), atol=1e-10, rtol=1e-10
    )


@pytest.mark.parametrize("kind", ["feature", "relation"])
def test_the_gradient_reaches_the_model_and_not_the_teacher(kind):
    model, head = made(
        f"head.distillation_image.kind={kind}", "head.distillation_image.streams=[fused]"
    )
    before = copy.deepcopy(head.teacher.model.state_dict())
    model.train()
    model(tiny_batch(model, COUNTS))["distillation_image"].loss.backward()
    found = gradients(model)
    assert all(found[name].abs().sum() > 0 for name in found if name.endswith("weight"))
    assert {name.split(".")[0] for name in found} == {"encoder", "project", "fusion", "head"}
    assert not gradients(head.teacher.model)
    assert not head.teacher.model.training
    for name, x in head.teacher.model.state_dict().items():
        assert torch.equal(x, before[name])


def test_the_teacher_is_no_part_of_the_model():
    model, head = made()
    assert not any("teacher" in name for name in model.state_dict())
    assert copy.deepcopy(model).head["distillation_image"].teacher is head.teacher


@pytest.mark.parametrize("kind", ["feature", "relation"])
@pytest.mark.quick_cases(1)
def test_a_few_samples_are_learned(kind):
    torch.manual_seed(0)
    model, _ = made(f"head.distillation_image.kind={kind}")
    batch = tiny_batch(model, {"text": [3] * 4, "image": [1] * 4})
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(120):
        loss = model(batch)["distillation_image"].loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.01


def test_the_width_is_the_teachers():
    with raises(ConfigError, "head.distillation_image: ", "teacher_width=9", " 24"):
        made("head.distillation_image.teacher_width=9")


CLASSES = {"classification": {"label_names": ["red", "green", "blue"]}}


@pytest.fixture
def trained(tmp_path):
    """The folder of a tiny classifier, which was trained on four classes in another order."""
    args = ("label_names=[blue,violet,red,green]",)
    chosen = ["encoder/text=transformer", "encoder/image=vit", "fusion=concat"]
    cfg = composed(*chosen, "head=classification", *args)
    cfg = {**cfg, "encoder": {k: v for k, v in cfg["encoder"].items() if v}}
    config = {
        "model": {key: cfg[key] for key in ("dim", "encoder", "fusion", "head")},
        "preparation": {"image_size": 64, "resize_mode": "crop", "text": "text"},
        "data": {},
        "label_names": ["blue", "violet", "red", "green"],
        "tokenizer": None,
    }
    torch.manual_seed(5)
    model = build_model(config)
    save_folder(tmp_path / "teacher", config, model.state_dict())
    return tmp_path / "teacher", model.eval()


def test_the_doubts_of_a_trained_model_are_learned(trained):
    folder, teacher = trained
    args = (
        f"head.logit_distillation.teacher={folder}",
        "head.logit_distillation.temperature=3",
        "head.logit_distillation.label_weight=0.5",
    )
    model = tiny_model("concat", ["logit_distillation"], args=args)
    batch = tiny_batch(model, COUNTS)
    head = model.head["logit_distillation"]
    found = model.double()
    head.teacher.model.double()
    loss = found(batch)["logit_distillation"].loss
    theirs = teacher.double().predict(batch)["classification"]["logits"][:, [2, 3, 0]]
    mine = model(batch)["logit_distillation"].outputs["logits"]
    soft = -((theirs / 3).softmax(1) * (mine / 3).log_softmax(1)).sum(dim=1).mean() * 9
    hard = torch.nn.functional.cross_entropy(mine, batch.targets["label"])
    torch.testing.assert_close(loss, soft + 0.5 * hard, atol=1e-6, rtol=1e-6)


@pytest.mark.slow
def test_doubts_are_learned_by_heart(trained):
    folder, _ = trained
    model = tiny_model(
        "concat", ["logit_distillation"], args=(f"head.logit_distillation.teacher={folder}",)
    ).train()
    batch = tiny_batch(model, {"text": [4, 6, 7, 3], "image": [1, 1, 1, 1]})
    head = model.head["logit_distillation"]
    before = copy.deepcopy(head.teacher.model.state_dict())
    soft = (head.teacher_logits(batch) / head.temperature).softmax(dim=1)
    least = -(soft * soft.log()).sum(dim=1).mean() * head.temperature**2  # what no student beats
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = model(batch)["logit_distillation"].loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach() - least))
    assert -1e-5 < losses[-1] < 0.02 * losses[0]
    assert all(torch.equal(before[k], x) for k, x in head.teacher.model.state_dict().items())


def test_an_encoder_of_a_trained_model_as_teacher(trained):
    folder, teacher = trained
    model = tiny_model(
        "concat", ["distillation_image"], args=(f"head.distillation_image.teacher={folder}",)
    )
    batch = tiny_batch(model, COUNTS)
    head = model.head["distillation_image"]
    torch.testing.assert_close(
        head.teacher_features(batch.inputs["image"]),
        teacher.encoder["image"].pooled_features(batch.inputs["image"]),
    )


@pytest.mark.parametrize(
    ("args", "modalities", "parts"),
    [
        (("label_names=[red,mauve]",), ("text", "image"), ["teacher", "class 'mauve'"]),
        ((), ("image",), ["head.logit_distillation.teacher: ", " text", "encoder"]),
        (
            ("image_size=32",),
            ("text", "image"),
            ["head.logit_distillation.teacher: ", "image_size=64", " 32"],
        ),
    ],
)
def test_trained_models_that_cannot_be_teachers(trained, args, modalities, parts):
    folder, _ = trained
    chosen = [f"encoder/{m}={'vit' if m == 'image' else 'transformer'}" for m in modalities]
    args = (*chosen, "fusion=concat", "head=logit_distillation", *args)
    cfg = composed(*args, f"head.logit_distillation.teacher={folder}")
    cfg["encoder"] = {k: v for k, v in cfg["encoder"].items() if v}
    preparation = {"image_size": cfg["image_size"], "resize_mode": "crop", "text": "text"}
    with raises(ConfigError, *parts):
        build_model({"model": cfg, "preparation": preparation})
