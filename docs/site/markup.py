"""HTML and Markdown of the generated pages."""

import html
import re
from collections.abc import Sequence

Cells = Sequence[str]


def inline(text: str) -> str:
    """Return a comment or docstring as HTML: text between backticks becomes code."""
    escaped = html.escape(text, quote=False)
    return re.sub(r"(`{1,2})([^`]+)\1", r"<code>\2</code>", escaped)


def code(text: str) -> str:
    """Return a name or value as HTML."""
    return f"<code>{html.escape(text, quote=False)}</code>" if text else ""


def paragraphs(text: str) -> str:
    """Return the paragraphs of a docstring as HTML."""
    parts = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))
    return "\n\n".join(f"<p>{inline(part)}</p>" for part in parts if part)


def table(titles: Cells, rows: Sequence[Cells]) -> str:
    """Return an HTML table. A row of a single cell spans all columns.

    Cells are HTML. Columns without content are left out.
    """
    whole = [row for row in rows if len(row) == len(titles)]
    kept = [i for i in range(len(titles)) if any(row[i] for row in whole)]
    lines = ["<table>", "<thead><tr>"]
    lines += [f"<th>{titles[i]}</th>" for i in kept]
    lines += ["</tr></thead>", "<tbody>"]
    for row in rows:
        if len(row) == 1:
            lines.append(f'<tr><td colspan="{len(kept)}"><em>{row[0]}</em></td></tr>')
        else:
            lines.append(f"<tr>{''.join(f'<td>{row[i]}</td>' for i in kept)}</tr>")
    return "\n".join([*lines, "</tbody>", "</table>"])


def fence(text: str, language: str = "") -> str:
    """Return a block of code."""
    return f"```{language}\n{text.strip()}\n```"
