"""``mmtx demo``: train, evaluate and caption on the built-in data, up to a report."""

import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from omegaconf import DictConfig

from mmtx_cli.config.composition.compose import compose_command
from mmtx_cli.config.unknown_keys import check_known_keys
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.console import make_console
from mmtx_cli.io.quoting import quoted
from mmtx_cli.synthetic.events.make import make_events
from mmtx_cli.synthetic.scenes.make import make_scenes

MAX_CAPTIONED = 12
"""Number of held-out images, and of videos, that are captioned at the end."""


def run(cfg: DictConfig) -> None:
    """Create data, pre-train on images, fine-tune on videos, evaluate, caption; write a report."""
    from mmtx_cli.report.html import write_report

    check_known_keys(cfg, "demo", {"limit_samples": "num", "max_steps": "overrides"})
    start = time.perf_counter()
    run_dir = Path(cfg.run_dir)
    if any((run_dir / name).exists() for name in ("pretrain", "films")):
        raise ConfigError(f"run_dir={run_dir}: already contains a demo; use another folder")
    print_step(f"generating {cfg.num} scenes and {cfg.num_videos} videos with audio")
    scenes = make_scenes(run_dir / "data", num=cfg.num, size=96, seed=cfg.seed)
    events = None
    if cfg.num_videos:
        events = make_events(run_dir / "film_data", num=cfg.num_videos, size=64, seed=cfg.seed)
    tokenizer = train_tokenizer(
        run_dir / "tokenizer.json", [path for path in (scenes, events) if path]
    )
    sections, captioner = run_image_steps(cfg, run_dir, scenes, tokenizer)
    if events:
        sections += run_video_steps(cfg, run_dir / "films", events, captioner)
        sections += score_video_attributes(cfg, run_dir, events)
    report = write_report(run_dir, title="mmtx demo", sections=sections)
    console = make_console(soft_wrap=True)
    console.print(f"\nfinished in {time.perf_counter() - start:.0f} s; report: {report}")
    console.print("next: use your own data (docs/data.md); all keys: mmtx finetune --help")
    print(run_dir)


def train_tokenizer(path: Path, manifests: Sequence[Path]) -> Path:
    """Train one tokenizer on all captions: the image captioner is later fine-tuned on videos."""
    from mmtx_cli.data.manifest.read import read_manifest
    from mmtx_cli.data.text.tokenizer import Tokenizer

    rows = [row for manifest in manifests for row in read_manifest(manifest).split("train")]
    Tokenizer.train([text for row in rows for text in row.captions]).save(path)
    return path


def run_image_steps(
    cfg: DictConfig, run_dir: Path, manifest: Path, tokenizer: Path
) -> tuple[list[tuple[str, Path]], Path]:
    """Pre-train a captioner on images; return the report's sections and the captioner's folder.

    Args:
        cfg: The configuration of the demo.
        run_dir: The demo's folder.
        manifest: The images and captions.
        tokenizer: The tokenizer.
    """
    print_step("pre-training an image captioner")
    settings = [
        "experiment=scenes_caption",
        f"data.path={quoted(manifest)}",
        f"data.tokenizer={quoted(tokenizer)}",
        f"seed={cfg.seed}",
    ]
    captioner = run_step(run_dir, "pretrain", [*settings, *cfg.overrides.pretrain])
    print_step("evaluating on held-out scenes, half with unseen pairs of color and shape")
    ckpt_arg = f"ckpt={quoted(captioner)}"
    evaluated = run_step(run_dir, "eval", [ckpt_arg, f"seed={cfg.seed}", "baselines=true"])
    print_step("captioning images")
    inputs = held_out(manifest, "image")
    captioned = run_step(
        run_dir, "caption", [ckpt_arg, f"inputs=[{','.join(map(quoted, inputs))}]"]
    )
    sections = [
        ("Evaluation on held-out scenes", evaluated),
        ("Captions of single images", captioned),
        ("Pre-training", captioner),
    ]
    return sections, captioner


def run_video_steps(
    cfg: DictConfig, run_dir: Path, manifest: Path, captioner: Path
) -> list[tuple[str, Path]]:
    """Fine-tune the image captioner on videos with audio; return the report's sections.

    Args:
        cfg: The configuration of the demo.
        run_dir: The folder for the steps.
        manifest: The videos and captions.
        captioner: Folder of the image captioner.
    """
    print_step("fine-tuning on images, video and audio with missing modalities")
    settings = [
        "experiment=events_caption",
        f"ckpt={quoted(captioner)}",
        f"data.path={quoted(manifest)}",
        f"seed={cfg.seed}",
    ]
    trained = run_step(run_dir, "finetune", [*settings, *cfg.overrides.finetune])
    print_step("evaluating, also with modalities removed")
    ckpt_arg = f"ckpt={quoted(trained)}"
    evaluated = run_step(run_dir, "eval", [ckpt_arg, f"seed={cfg.seed}", "modality_subsets=all"])
    print_step("captioning videos")
    inputs = held_out(manifest, "video")
    captioned = run_step(
        run_dir, "caption", [ckpt_arg, f"inputs=[{','.join(map(quoted, inputs))}]"]
    )
    return [
        ("Videos with audio: evaluation on held-out videos", evaluated),
        ("Videos with audio: captions", captioned),
        ("Videos with audio: fine-tuning", trained),
    ]


def score_video_attributes(
    cfg: DictConfig, run_dir: Path, manifest: Path
) -> list[tuple[str, Path]]:
    """Score the attributes named in captions, also without the image; return the report's section.

    References are added to the captions of single videos. Call it after ``run_video_steps``.
    """
    from mmtx_cli.data.manifest.read import read_manifest
    from mmtx_cli.evaluation.attribute_accuracy import add_references, write_attributes
    from mmtx_cli.io.checkpoint import read_config

    folder, trained = run_dir / "films", run_dir / "films" / "finetune"
    rows = [row for row in read_manifest(manifest).split("test") if row.captions]
    add_references(folder / "caption", {str(row.video): row.captions[0] for row in rows})
    evaluations = {"all modalities": folder / "eval"}
    encoders = read_config(str(trained))["model"]["encoder"]
    if encoders.get("image") and any(encoders.get(name) for name in ("video", "audio")):
        print_step("evaluating without the image, on video and audio only")
        settings = [f"ckpt={quoted(trained)}", f"seed={cfg.seed}", "drop_modalities=[image]"]
        image_removed = run_step(folder, "eval", settings, "eval_without_image")
        evaluations["without the still"] = image_removed
    if not write_attributes(run_dir, evaluations, cfg.seed):
        return []
    return [("Videos with audio: attributes named in captions", run_dir)]


def print_step(title: str) -> None:
    """Print the title of a step."""
    make_console(stderr=True).rule(title, align="left")


def run_step(
    run_dir: Path, command: str, overrides: Sequence[str], name: str | None = None
) -> Path:
    """Run a command in a subfolder of the demo, as from the command line, and return the folder.

    Args:
        run_dir: The parent folder.
        command: The command.
        overrides: Its arguments, without ``run_dir``.
        name: Name of the subfolder (default: the command's).
    """
    folder = run_dir / (name or command)
    cfg = compose_command(command, [*overrides, f"run_dir={quoted(folder)}"])
    import_module(f"mmtx_cli.command.{command}").run(cfg)
    return folder


def held_out(manifest: Path, modality: str) -> list[str]:
    """Return up to ``MAX_CAPTIONED`` files of the test split, evenly spaced."""
    from mmtx_cli.data.manifest.read import read_manifest

    rows = [row for row in read_manifest(manifest).split("test") if getattr(row, modality)]
    files = [row.image[0] if modality == "image" else row.video for row in rows]
    return [str(file) for file in files[:: max(1, len(files) // MAX_CAPTIONED)][:MAX_CAPTIONED]]
