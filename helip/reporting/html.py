"""The little HTML that the report needs: escaped text, tables, and the Markdown of our own documents."""

import html
import re
from collections.abc import Iterable

escape = html.escape


def inline(text: str) -> str:
    """Escaped, with Markdown's `code`, **bold**, *italics* and links."""
    codes: list[str] = []

    def keep(match: re.Match) -> str:
        codes.append(f"<code>{escape(match[1])}</code>")
        return f"\0{len(codes) - 1}\0"

    said = escape(re.sub(r"`([^`]+)`", keep, text), quote=False)
    said = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", said)
    said = re.sub(r"(?<![\w*])\*([^*\s][^*]*)\*(?!\w)", r"<i>\1</i>", said)
    said = re.sub(r"\[([^\]]+)\]\((https?://[^)\s]+)\)", r'<a href="\2">\1</a>', said)
    return re.sub("\0(\\d+)\0", lambda m: codes[int(m[1])], said)


def markdown(text: str, level: int = 1) -> str:
    """Headings (one level deeper than written for each `level`), paragraphs, lists and tables: all that docs/discrepancies.md uses."""
    out, blocks = [], re.split(r"\n\s*\n", text.strip())
    for block in blocks:
        lines = block.splitlines()
        if heading := re.match(r"(#+) (.*)", lines[0]):
            depth = min(6, len(heading[1]) + level)
            out.append(f"<h{depth}>{inline(heading[2])}</h{depth}>")
            lines = lines[1:]
        if not lines:
            continue
        if lines[0].startswith("|"):
            out.append(_table(lines))
        elif lines[0].startswith("- "):
            items = re.split(r"\n- ", "\n" + "\n".join(lines))[1:]
            out.append("<ul>" + "".join(f"<li>{inline(' '.join(i.split()))}</li>" for i in items) + "</ul>")
        else:
            out.append(f"<p>{inline(' '.join(lines))}</p>")
    return "\n".join(out)


def _table(lines: list[str]) -> str:
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in lines]
    return words(rows[0], rows[2:])


def words(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of prose: Markdown in its cells, the first column standing."""
    th = "".join(f'<th class="{"name" if n == 0 else "words"}" style="text-align:left">{inline(h)}</th>' for n, h in enumerate(head))
    body = "".join("<tr>" + "".join(f'<td class="words">{inline(c)}</td>' for c in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{th}</tr></thead><tbody>{body}</tbody></table></div>'


def section(identity: str, title: str, *parts: str) -> str:
    return f'<section id="{identity}"><h2>{escape(title)}</h2>\n' + "\n".join(p for p in parts if p) + "\n</section>"


def details(summary: str, body: str, is_open: bool = False) -> str:
    return f"<details{' open' if is_open else ''}><summary>{escape(summary)}</summary>{body}</details>"
