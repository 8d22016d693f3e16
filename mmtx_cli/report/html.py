"""The report: a single HTML file without external files, network access or scripts."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mmtx_cli.errors import DataError
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.report.run_reader import read_run_folder
from mmtx_cli.report.section import Section, facts, section
from mmtx_cli.report.sound import Sounds
from mmtx_cli.report.thumbnail import Thumbnails


def write_report(
    run_dir: Path,
    *,
    title: str | None = None,
    gallery: int = 12,
    sections: Sequence[tuple[str, Path]] | None = None,
) -> Path:
    """Write ``report.html`` into a run folder from its files, and return its path.

    Args:
        run_dir: The run folder. Parts of the page whose file is missing are left out.
        title: The heading (default: names the folder).
        gallery: Number of best, worst and randomly drawn samples to show.
        sections: Titles and run folders to show one after another, instead of ``run_dir``.

    Raises:
        DataError: if ``run_dir`` is not a folder.
    """
    if not run_dir.is_dir():
        raise DataError(f"{run_dir}: run folder not found")
    main_run = read_run_folder(run_dir)
    runs = [("", main_run)]
    if sections is not None:
        runs = [(name, read_run_folder(Path(path))) for name, path in sections]
    with closing(Thumbnails()) as thumbnails, closing(Sounds()) as sounds:
        shown = [section(name, run, gallery, thumbnails, sounds) for name, run in runs]
    page = _report(title or f"Report of {run_dir.resolve().name}", facts(main_run), shown)
    return write_page(run_dir / "report.html", page)


def _report(title: str, header: list[tuple[str, str]], sections: list[Section]) -> str:
    machines = [part.environment for part in sections if part.environment]
    # Usually all stages ran on one machine: show it once, at the end.
    shared = machines[0] if machines and machines.count(machines[0]) == len(machines) else None
    return render(
        "report.html.j2",
        title=title,
        facts=header,
        sections=sections,
        shared_environment=shared,
    )


def render(template: str, **values: Any) -> str:
    """Render a template from ``templates/``."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,  # captions, labels, paths and configs are untrusted
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def write_page(path: Path, page: str) -> Path:
    """Write a page atomically, so that nobody opens a partial one."""
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path
