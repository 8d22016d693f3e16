"""docs/adding.md does what it says: its files are written and its commands run as they stand."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmtx_cli.errors import ConfigError
from mmtx_cli.model.build import build_model
from mmtx_cli.types import FUSED, ModalityInput, Tokens
from tests.command_line import mmtx, refused, succeeded
from tests.messages import mentions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("adding"),
]  # so that the page's commands run once
TEXT = (Path(__file__).parents[2] / "docs" / "adding.md").read_text(encoding="utf-8")
NAMED = r"^`([\w/]+\.(?:py|yaml))`[^\n]*:\n\n```(?:python|yaml)\n(.*?)^```$"
FILES = dict(re.findall(NAMED, TEXT, re.M | re.S))
"""Content of every block that stands below a file's name."""
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```\n(mmtx .*?)^```$", TEXT, re.M | re.S)
    for line in block.replace("\\\n", " ").splitlines()
]
"""Arguments of every command, in order."""
SMALLER = {
    "data": ("num=60", "size=32", "workers=1"),
    "finetune": (
        "dim=16",
        "image_size=32",
        "data.batch_size=8",
        "data.num_workers=0",
        "trainer.accelerator=cpu",
        "trainer.max_steps=2",
    ),
    "eval": ("bootstrap=2", "data.num_workers=0", "trainer.accelerator=cpu"),
}
"""What makes a command quick and changes nothing else."""
SMALL_PARTS = {
    "encoder/image=vit": (
        "encoder.image.width=16",
        "encoder.image.depth=1",
        "encoder.image.num_heads=2",
    ),
    "encoder/text=transformer": ("encoder.text.width=16", "encoder.text.depth=1"),
    "head=captioning": ("decoder.depth=1", "generation.num_beams=1"),
    "fusion=concat": ("fusion.depth=1",),
}


def smaller(args):
    """The command with what makes it quick behind it."""
    parts = [more for arg in args for more in SMALL_PARTS.get(arg, ())]
    if "decoder=gru" in args:
        parts.remove("decoder.depth=1")
    return [*args, *SMALLER[args[0]], *parts]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the files of the page, in which its commands have been run."""
    folder = tmp_path_factory.mktemp("adding")
    for path, content in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")
    for args in COMMANDS:
        if args[0] != "eval":
            succeeded(mmtx(*smaller(args), cwd=folder))
    return folder


def test_the_page_has_a_fusion_an_encoder_and_a_head_and_runs_each():
    assert set(FILES) == {
        "my_fusion.py", "my_conf/fusion/mean.yaml",
        "my_encoder.py", "my_conf/encoder/image/colors.yaml",
        "my_head.py", "my_conf/head/prototype.yaml",
        "my_decoder.py", "my_conf/decoder/gru.yaml",
    }  # fmt: skip
    assert [args[0] for args in COMMANDS] == [
        "data",
        "finetune",
        "finetune",
        "finetune",
        "eval",
        "finetune",
    ]
    words = {arg for args in COMMANDS for arg in args}
    own = {"fusion=mean", "encoder/image=colors", "head=prototype", "decoder=gru"}
    assert {*own, "head=captioning", "head=classification"} <= words


@pytest.mark.parametrize("run", ["mean", "colors", "prototype", "gru"])
def test_a_model_with_a_user_defined_component_is_trained(place, run):
    result = json.loads((place / "runs" / run / "result.json").read_text())
    assert (result["steps"], result["count"]) == (2, 48)


def test_it_is_evaluated_where_it_is_trusted_again(place):
    (args,) = [args for args in COMMANDS if args[0] == "eval"]
    trusting = [arg for arg in args if not arg.startswith("trusted_packages")]
    assert trusting != args
    err = refused(*trusting, cwd=place)
    mentions(err, "head.prototype._target_: ", "'my_head.", "trusted_packages=[my_head]")
    run = succeeded(mmtx(*smaller(args), cwd=place))
    result = json.loads((run / "result.json").read_text())
    assert 0 <= result["metrics"]["prototype/accuracy"] <= 1
    low, high = result["intervals"]["prototype/accuracy"]
    assert low <= result["metrics"]["prototype/accuracy"] <= high
    rows = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    assert {"prediction", "label"} <= set(rows[0]["prototype"])


def test_help_lists_user_defined_choices_and_keys(place):
    (line,) = re.findall(r"`(mmtx finetune [^`]*--help)`", TEXT)
    done = mmtx(*shlex.split(line)[1:], cwd=place)
    assert done.returncode == 0, done.stderr
    choices = next(line for line in done.stdout.splitlines() if "fusion=" in line)
    assert "|mean|" in choices
    assert "  fusion.scale=1.0 " in done.stdout


@pytest.fixture(scope="module")
def modules(place):
    """The modules of the page can be imported."""
    sys.path.insert(0, str(place))
    yield
    sys.path.remove(str(place))
    for name in ("my_fusion", "my_encoder", "my_head"):
        sys.modules.pop(name, None)


def built(**more):
    """All three parts in one model, tiny."""
    torch.manual_seed(0)
    colors = {"_target_": "my_encoder.ImageColors", "image_size": 64, "width": 8, **more}
    config = {
        "dim": 8,
        "encoder": {"image": colors, "video": colors},
        "fusion": {"_target_": "my_fusion.MeanFusion", "dim": 8},
        "head": {
            "prototype": {
                "_target_": "my_head.PrototypeHead",
                "dim": 8,
                "label_names": ["a", "b", "c"],
            }
        },
    }
    return build_model({"model": config}, ("my_fusion", "my_encoder", "my_head")).eval()


@pytest.fixture
def model(modules):
    return built()


def test_an_invalid_argument_is_reported_as_documented(modules):
    (message,) = re.findall(r"`(encoder\.image: cell=7 [^`]*)`", TEXT)
    with pytest.raises(ConfigError) as caught:
        built(cell=7)
    assert caught.value.faults == (message,)


def field(present, seed, noise=0):
    """Two pictures a sample, of which the first is real where ``present``."""
    random = torch.Generator().manual_seed(seed)
    data = torch.randint(0, 256, (4, 2, 3, 64, 64), generator=random, dtype=torch.uint8)
    mask = torch.stack([torch.tensor(present), torch.zeros(4, dtype=torch.bool)], dim=1)
    other = torch.randint(0, 256, data.shape, dtype=torch.uint8)
    return ModalityInput(
        torch.where(mask[..., None, None, None], data, other if noise else data), mask
    )


def streams_of(model, noise=0):
    image = field([True, True, False, False], 1, noise)
    video = field([True, False, True, False], 2, noise)
    encoded = {"image": model.encode_one("image", image), "video": model.encode_one("video", video)}
    return model.fusion(encoded)


def test_the_fused_mask_is_boolean_and_marks_present_samples(model):
    fused = streams_of(model)[FUSED]
    assert fused.x.shape == (4, 1, 8)
    assert fused.mask.dtype == torch.bool
    assert fused.present.tolist() == [True, True, True, False]


def test_content_that_is_not_real_and_the_order_of_modalities_do_not_matter(model):
    clean, noisy = streams_of(model), streams_of(model, noise=1)
    for name, tokens in clean.items():
        assert torch.equal(tokens.mask, noisy[name].mask)
        assert torch.equal(tokens.x[tokens.mask], noisy[name].x[tokens.mask])
    backwards = model.fusion({name: clean[name] for name in ("video", "image")})
    assert torch.equal(backwards[FUSED].x, clean[FUSED].x)
    alone = Tokens(clean["image"].x[:1], clean["image"].mask[:1])
    absent = Tokens(torch.zeros_like(alone.x), torch.zeros_like(alone.mask))
    assert model.fusion({"image": alone, "video": absent})[FUSED].present.all()


@pytest.mark.slow
def test_in_a_clone_the_contract_holds_for_them(tmp_path):
    root = Path(__file__).parents[2]
    for name in ("mmtx_cli", "conf", "tests", "pyproject.toml"):
        source = root / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path)
    homes = {"fusion": "fusion/mean", "encoder": "encoder/image/colors", "head": "head/prototype"}
    for kind, home in homes.items():
        (tmp_path / "mmtx_cli" / f"{home}.py").write_text(FILES[f"my_{kind}.py"])
        target = f"mmtx_cli.{home.replace('/', '.')}"
        text = FILES[f"my_conf/{home}.yaml"].replace(f"my_{kind}", target)
        (tmp_path / "conf" / f"{home}.yaml").write_text(text)
    promises = "streams_are or any_subset or not_real or alone"
    chosen = f"colors or mean-prototype or mean and ({promises})"
    command = [sys.executable, "-m", "pytest", "-q", "tests/contract", "-k", chosen]
    command += ["-m", "not slow", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 20
