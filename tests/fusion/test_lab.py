"""What theory says of fusions, on the laboratory's tasks: trained for a minute each, three seeds.

The files are decoded once; the models are those of ``experiment=fusion_lab``.
"""

from functools import cache

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.overrides import force_add
from mmtx_cli.data.collate import Collate
from mmtx_cli.data.corpus import build_data
from mmtx_cli.model.build import build_model
from mmtx_cli.runs.resolve import DEFAULTS, preparation_of, sections
from mmtx_cli.synthetic.fusion_lab import make_lab
from tests.tiny import chosen_rows

pytestmark = pytest.mark.slow

SEEDS = (1, 2, 3)
STEPS, BATCH = 300, 64
LEARNED, ASKED = 2400, 3000
"""Samples. Of so many, chance is within 0.04 of 1/2 in all but one of 10,000 cases."""
SEES = {
    "redundant": ("image", "text", "audio"),
    "unique": ("image", "text", "audio"),
    "xor": ("image", "text"),
    "gated": ("image", "text", "audio"),
    "conflict": ("image", "text"),
}
"""The modalities that a task is about: others would only take time."""

# not gated_cross_attention: its gates begin closed, and 300 steps do not open them
JOINT = ("concat", "cross_attention", "bottleneck", "perceiver")
PRODUCTS = ("gated", "pooled_concat", "tensor", "low_rank", "film")
DECISIONS = [f"decision fusion.vote={vote}" for vote in ("mean", "weights", "product", "stacking")]


def configured(path, fusion, modalities):
    left_out = [f"encoder.{m}=null" for m in ("text", "image", "audio") if m not in modalities]
    args = ["experiment=fusion_lab", f"data.path={path}", f"fusion={fusion}".split()[0]]
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        cfg = compose("finetune", force_add([*args, *fusion.split()[1:], *left_out]))
    OmegaConf.set_struct(cfg, False)
    for key, value in DEFAULTS.items():
        cfg[key] = value if cfg[key] is None else cfg[key]
    return cfg


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Gives a task's samples to learn from, and those that are asked, as one batch each."""

    @cache
    def given(task):
        path = make_lab(tmp_path_factory.mktemp(task) / "lab", num=LEARNED + ASKED, task=task)
        cfg = configured(path, "sum", SEES[task])
        data = sections(cfg)["data"]
        corpus = build_data(data, preparation_of(cfg, data))
        made = []
        rows = corpus.rows("train") + corpus.rows("val") + corpus.rows("test")
        for some in (rows[:LEARNED], rows[LEARNED:]):
            samples = corpus.samples(some, SEES[task], ["label"])
            collate = Collate(SEES[task], ("label",), samples.preparation, samples.known)
            made.append(collate([samples[(0, row)] for row in range(len(samples))]))
        return path, corpus.config_values(), *made

    return given


def accuracy(lab, task, fusion, seed):
    """Of the test samples, after training."""
    path, facts, train, test = lab(task)
    cfg = configured(path, fusion, SEES[task])
    cfg.update(facts)
    plain = OmegaConf.to_container(cfg, resolve=True)
    torch.manual_seed(seed)
    model = build_model(
        {"model": {**plain, "encoder": {m: plain["encoder"][m] for m in SEES[task]}}}
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=STEPS)
    random = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        rows = torch.randint(len(train), (BATCH,), generator=random)
        optimizer.zero_grad()
        model(chosen_rows(train, rows.tolist()))["classification"].loss.backward()
        optimizer.step()
        schedule.step()
    predicted = model.eval().predict(test)["classification"]["logits"].argmax(dim=1)
    return (predicted == test.targets["label"]).double().mean().item()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fusion", [*JOINT, *PRODUCTS])
def test_an_exclusive_or_needs_modalities_that_meet(lab, fusion, seed):
    assert accuracy(lab, "xor", fusion, seed) >= 0.99


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fusion", DECISIONS)
def test_no_vote_decides_an_exclusive_or(lab, fusion, seed):
    assert accuracy(lab, "xor", fusion, seed) <= 0.55


@pytest.mark.parametrize("fusion", ["film fusion.condition=[audio]", "gated", "concat"])
def test_a_modality_that_selects_which_other_to_trust(lab, fusion):
    assert accuracy(lab, "gated", fusion, 1) >= 0.99


def test_score_fusion_cannot_select_which_to_trust(lab):
    assert accuracy(lab, "gated", "decision", 1) <= 0.8


@pytest.mark.parametrize("fusion", ["decision", "sum", "concat", "gated"])
def test_redundant_modalities_are_solved_by_all_fusions(lab, fusion):
    assert accuracy(lab, "redundant", fusion, 1) >= 0.99


@pytest.mark.parametrize("fusion", ["decision", "sum", "concat", "gated"])
def test_what_only_one_modality_knows(lab, fusion):
    assert accuracy(lab, "unique", fusion, 1) >= 0.97


@pytest.mark.parametrize("fusion", ["decision", "concat", "gated"])
def test_the_one_that_is_sure_is_right(lab, fusion):
    """One modality alone reaches 5/6; votes suffice, since an unsure one can abstain."""
    assert accuracy(lab, "conflict", fusion, 1) >= 0.97
