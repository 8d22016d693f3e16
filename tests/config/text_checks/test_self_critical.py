"""Settings of heads that train a captioner on the score of its captions."""

import pytest

from mmtx_cli.config.conf_tree import shipped
from mmtx_cli.config.text_checks.self_critical import BASELINES, self_critical_faults
from tests.messages import faults_mention

HEAD = {"_target_": "mmtx_cli.head.objective.self_critical.SelfCriticalHead", "teacher": "run"}
VALID = {
    "command": "finetune",
    "ckpt": "run",
    "head": {"captioning": HEAD},
    "decoder": shipped("decoder/transformer"),
}
REJECTED = [
    ({"ckpt": None}, {}, "head.captioning: ", "ckpt=RUN", "head=captioning"),
    ({}, {"teacher": None}, "head.captioning.teacher: ", "head.captioning.kl=0"),
    ({}, {"num_samples": 1}, "head.captioning.num_samples=1: ", "at least 2", "baseline=greedy"),
    ({}, {"baseline": "mean"}, "head.captioning.baseline: 'mean'", *BASELINES),
    ({}, {"target": "answers"}, "head.captioning.target: ", "only captions"),
    ({"decoder": shipped("vlm/huggingface")}, {}, "head.captioning: ", "published models"),
    ({"decoder": {"objective": "words"}}, {}, "decoder.objective=words: ", "remove it"),
    ({"trainer": {"loss_spike_factor": 5}}, {}, "trainer.loss_spike_factor: ", "remove it"),
]


@pytest.mark.parametrize(("more", "own", "place", "parts"), [(*r[:3], r[3:]) for r in REJECTED])
def test_what_is_rejected(more, own, place, parts):
    faults = self_critical_faults({**VALID, **more, "head": {"captioning": {**HEAD, **own}}})
    faults_mention([*faults], (place, *parts))


@pytest.mark.parametrize(
    ("more", "own"),
    [
        ({}, {}),
        ({"ckpt": None, "resume": True}, {}),
        ({}, {"kl": 0, "teacher": None}),
        ({}, {"baseline": "greedy", "num_samples": 1}),
        ({"command": "eval", "ckpt": None}, {}),
    ],
)
def test_what_is_accepted(more, own):
    cfg = {**VALID, **more, "head": {"captioning": {**HEAD, **own}}}
    assert [*self_critical_faults(cfg)] == []


def test_other_heads_are_not_checked():
    head = {"_target_": "mmtx_cli.head.captioning.CaptioningHead", "num_samples": 1}
    assert [*self_critical_faults({**VALID, "ckpt": None, "head": {"captioning": head}})] == []
