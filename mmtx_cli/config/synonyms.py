"""Map the commands and keys of other programs to those of mmtx, for hints in error messages."""

import os
from pathlib import Path

from mmtx_cli.io.table_suffixes import SUFFIXES as TABLES

COMMANDS = {
    "train": "finetune` or `mmtx pretrain",
    "fit": "finetune",
    "fine-tune": "finetune",
    "evaluate": "eval",
    "test": "eval",
    "validate": "eval",
    "infer": "predict",
    "inference": "predict",
    "classify": "predict",
    "label": "predict",
    "tag": "predict",
    "answer": "predict",
    "embed": "predict embeddings=true",
    "encode": "predict embeddings=true",
    "generate": "caption",
    "check": "data action=check manifest={}",
    "import": "data action=import importer=csv captions={} images=FOLDER out=NAME.jsonl",
    "convert": "data action=import",
    "make": "data action=create dataset=scenes",
    "cache": "data action=cache",
    "metrics": "score",
    "sweep": "compare",
}
"""mmtx commands by other programs' names for them; {} is replaced by the file that follows."""

KEYS = {
    "trainer.max_epochs": "epochs num_epochs n_epochs num_train_epochs",
    "trainer.max_steps": "steps num_steps iterations iters max_iters",
    "trainer.devices": "gpus num_gpus n_gpus nproc world_size",
    "trainer.accelerator": "device gpu cuda",
    "trainer.precision": "fp16 bf16 amp half mixed_precision dtype",
    "trainer.accumulate_grad_batches": "grad_accum gradient_accumulation_steps accumulate",
    "trainer.early_stopping.patience": "patience early_stop",
    "optimizer.lr": "learning_rate learning-rate",
    "optimizer.warmup": "warmup_steps warmup_ratio num_warmup_steps",
    "data.batch_size": "batch bs batchsize batch-size per_device_train_batch_size",
    "data.num_workers": "workers num-workers",
    "data.path": "dataset manifest train_file train_data data_path csv jsonl",
    "generation.num_beams": "num_beams beams beam_size beam head.captioning.beams",
    "generation.length_penalty": "length_penalty lenpen",
    "generation.do_sample": "do_sample sample sampling",
    "generation.num_return_sequences": "num_return_sequences nbest n_best best_of",
    "run_dir": "output output_dir out_dir save_dir log_dir outdir workdir",
    "ckpt": "model checkpoint weights pretrained load_from ckpt_path",
    "resume": "resume_from resume_from_checkpoint auto_resume",
    "text": "question prompt query",
    "texts": "candidates candidate_labels labels classes class_names",
    "top": "topk top_k k num_labels",
    "embeddings": "embedding embed features save_embeddings return_embeddings",
    "inputs": "input images image videos video files file source",
    "image_size": "img_size imgsz resolution input_size",
    "logger": "wandb tensorboard report_to",
}
"""Other programs' names for each key."""

BY_NAME = {other: ours for ours, others in KEYS.items() for other in others.split()}
POSITIONAL = {
    "finetune": "data.path",
    "pretrain": "data.path",
    "eval": "ckpt",
    "caption": "inputs",
    "predict": "inputs",
    "export": "ckpt",
    "score": "predictions",
    "compare": "runs",
    "data": "action=check manifest",
    "data_check": "manifest",
    "data_shard": "manifest",
    "data_index": "source",
}
"""The key that a file without a key belongs to, by command."""


def equivalent_command(word: str, rest: list[str]) -> str | None:
    """Return the command that corresponds to another program's, or None."""
    equivalent = COMMANDS.get(word)
    return equivalent and equivalent.replace("{}", next((w for w in rest if "=" not in w), "FILE"))


def equivalent_key(key: str, known: list[str]) -> str | None:
    """Return the key that corresponds to another program's, or None if the command lacks it."""
    equivalent = BY_NAME.get(key.lower())
    return equivalent if equivalent and equivalent.split(".")[0] in known else None


def file_override(word: str, command: str) -> str | None:
    """Return the override that a file or folder without a key stands for, or None."""
    key = POSITIONAL.get(command)
    if command == "predict" and Path(word).suffix in TABLES:
        key = "data.path"
    is_file = os.path.exists(word) or bool(Path(word).suffix) or os.sep in word
    return f"{key}={word}" if key and is_file else None
