"""What makes the commands of the documentation quick and changes nothing else."""

from collections.abc import Sequence

CPU = (
    "data.num_workers=0",
    "trainer.accelerator=cpu",
    "trainer.devices=1",
    "trainer.strategy=auto",
)
TRAINING = (
    "dim=16",
    "image_size=32",
    "max_length=16",
    "num_frames=2",
    "data.batch_size=8",
    *CPU,
    "trainer.max_steps=2",
    "trainer.precision=32-true",
    "trainer.early_stopping=null",
)
SMALLER = {
    "data": ("num=60", "size=32", "workers=1"),
    "pretrain": TRAINING,
    "finetune": TRAINING,
    "eval": ("bootstrap=2", *CPU),
    "caption": CPU,
    "predict": CPU,
    "score": ("bootstrap=2",),
    "compare": ("bootstrap=2",),
}
FEWER = ("fusions=[decision,concat]", "seeds=[1]")
"""Each of these runs is a process that is started from nothing."""
VIT = ("width=16", "depth=1", "num_heads=2")
PARTS = {
    "encoder/image=vit": tuple(f"encoder.image.{key}" for key in VIT),
    "encoder/video=vit": tuple(f"encoder.video.{key}" for key in VIT),
    "encoder/text=transformer": tuple(f"encoder.text.{key}" for key in VIT),
    "encoder/image=efficientnet_lite": ("encoder.image.width=16", "encoder.image.num_heads=2"),
    "encoder/audio=spectrogram_cnn": (
        "encoder.audio.channels=[4,4]",
        "encoder.audio.width=16",
        "encoder.audio.depth=1",
        "encoder.audio.num_heads=2",
    ),
    "experiment=scenes_caption": ("encoder.image.width=16", "encoder.image.depth=1"),
    "head=captioning": ("decoder.depth=1", "generation.num_beams=1"),
    "fusion=concat": ("fusion.depth=1",),
}


def smaller(args: Sequence[str]) -> list[str]:
    """The command with what makes it quick behind it."""
    command = args[0]
    if command == "data" and "action=cache" in args:
        return [*args, "dim=16", "image_size=32", "data.num_workers=0", *parts(args)]
    if command == "data" and "action=create" not in args:
        return [*args]
    if "resume=true" in args:
        return [*args]
    if command == "compare":
        fewer = FEWER if any(arg.startswith("sweep=") for arg in args) else ()
        return [*map(planned, args), *SMALLER[command], *fewer]
    sweeps = "-m" in args or "--multirun" in args
    own = [more for more in parts(args) if not sweeps or not swept(more, args)]
    return [*args, *SMALLER.get(command, ()), *own]


def parts(args: Sequence[str]) -> list[str]:
    return [more for arg in args for more in PARTS.get(arg, ())]


def swept(key: str, args: Sequence[str]) -> bool:
    """A value that a sweep varies is left as it is."""
    return any(arg.startswith(f"{key.partition('=')[0]}=") and "," in arg for arg in args)


def planned(arg: str) -> str:
    """The arguments of the runs that a comparison trains, made quick as well."""
    key, _, value = arg.partition("=")
    if key != "train_args":
        return arg
    given = [word.strip(" '\"") for word in value.strip("[]").split("',")]
    more = [*TRAINING, *parts(given)]
    return f"train_args={value.removesuffix(']')},{','.join(repr(word) for word in more)}]"
