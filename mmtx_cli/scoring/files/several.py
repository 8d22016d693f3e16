"""References in several files, of which each adds some."""

from collections.abc import Sequence

from mmtx_cli.errors import DataError
from mmtx_cli.scoring.files.caption_file import CaptionFile


def together(files: Sequence[CaptionFile]) -> CaptionFile:
    """Return the references of several files as one.

    Raises:
        DataError: if plain text has other numbers of lines, or is mixed with files with ids.
    """
    first = files[0]
    if len({file.key for file in files}) > 1:
        kinds = ", ".join(f"{file.path}: {file.key}" for file in files)
        raise DataError(f"references: some files have ids and others only an order ({kinds})")
    numbers = {len(file.captions) for file in files}
    if first.key == "order" and len(numbers) > 1:
        counts = ", ".join(f"{file.path}: {len(file.captions)}" for file in files)
        raise DataError(f"references: files in the same order need as many lines each: {counts}")
    whole = CaptionFile(first.path, " + ".join(dict.fromkeys(f.form for f in files)), first.key)
    for file in files:
        for name, captions in file.captions.items():
            whole.captions.setdefault(name, []).extend(captions)
        for name, place in file.places.items():
            whole.places.setdefault(name, place)
        for name, media in file.media.items():
            whole.media.setdefault(name, media)
        whole.faults += file.messages()
        whole.of_parts += file.all_notes()
        whole.complete &= file.complete
        whole.numbers |= file.numbers
    for name, captions in whole.captions.items():
        if not captions:
            whole.fault(whole.places[name], f"id {name} has no reference caption in any file")
    return whole
