"""Write captions of video segments as subtitle files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtx_cli.io.atomic import atomic_write, make_subfolder


def write_subtitles(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write NAME.vtt and NAME.srt for every video whose segments were captioned; return the paths.

    WebVTT follows the W3C specification, SubRip the format that players read. Videos of the same
    name from different folders are numbered.
    """
    videos: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if "caption" in row and row.get("start") is not None:
            videos.setdefault(str(row["path"]), []).append(row)
    written: list[Path] = []
    taken: set[str] = set()
    for path, pieces in videos.items():
        name = free_name(Path(path).stem, taken)
        make_subfolder(folder)
        for suffix, text in ((".vtt", web_vtt(pieces)), (".srt", sub_rip(pieces))):
            written.append(folder / f"{name}{suffix}")
            with atomic_write(written[-1]) as temporary:
                temporary.write_text(text, encoding="utf-8")
    return written


def free_name(stem: str, taken: set[str]) -> str:
    """Return the stem, with a number appended if it is taken."""
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name)
    return name


def web_vtt(pieces: Sequence[Mapping[str, Any]]) -> str:
    """Return cues with ``hh:mm:ss.mmm``; characters with a meaning in WebVTT are escaped."""
    cues = [
        f"{clock(p['start'], '.')} --> {clock(p['end'], '.')}\n{escaped(str(p['caption']))}\n"
        for p in pieces
    ]
    return "\n".join(["WEBVTT\n", *cues])


def sub_rip(pieces: Sequence[Mapping[str, Any]]) -> str:
    """Return numbered cues with ``hh:mm:ss,mmm``."""
    cues = [
        f"{i}\n{clock(p['start'], ',')} --> {clock(p['end'], ',')}\n{p['caption']}\n"
        for i, p in enumerate(pieces, 1)
    ]
    return "\n".join(cues)


def escaped(text: str) -> str:
    """Escape a caption so that it is not parsed as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clock(seconds: float, mark: str) -> str:
    """Format seconds as ``hh:mm:ss`` and milliseconds, separated by ``mark``."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}{mark}{thousandths:03}"
