import torch
from torch import nn

from mmtx_cli.errors import CheckpointError
from mmtx_cli.layer.frozen_teacher import FrozenTeacher
from mmtx_cli.training.teacher_digests import check_teachers, digest, teacher_digests
from tests.messages import raises


def head_of(model: nn.Module) -> nn.Module:
    head = nn.Linear(1, 1)
    head.teacher = FrozenTeacher(model)
    return head


def test_a_teacher_that_changed_is_named():
    model = nn.Linear(3, 2)
    heads = {"a": head_of(model), "b": nn.Linear(1, 1)}
    stored = teacher_digests(heads)
    assert stored.keys() == {"a"}
    check_teachers(stored, teacher_digests(heads))
    check_teachers(None, stored)
    with torch.no_grad():
        model.weight[1, 2] += 1e-6
    with raises(CheckpointError, "head.a.teacher: ", "weights", " ckpt="):
        check_teachers(stored, teacher_digests(heads))


def test_shapes_and_types_count():
    models = [nn.Linear(3, 2), nn.Linear(2, 3), nn.Linear(3, 2).half()]
    for model in models:
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
    assert len({digest(model) for model in models}) == 3
