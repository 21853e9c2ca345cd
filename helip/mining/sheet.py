"""The audit sheet: some targets with their hard pairs, to look at. One HTML file, images inside it."""

import base64
import html
from collections.abc import Callable
from pathlib import Path

from helip.io import atomic_file
from helip.mining.audit import sampled_targets
from helip.mining.pairs import PairSet

STYLE = """body{font:13px sans-serif;margin:1em}section{display:flex;gap:8px;overflow-x:auto;border-top:1px solid #ccc;padding:8px 0}
figure{margin:0;flex:0 0 132px}figure.target{border-right:3px solid #444;padding-right:8px}
img{width:128px;height:128px;object-fit:contain;background:#eee}
figcaption{overflow-wrap:anywhere}b{font-weight:600}"""


def sheet(
    pairs: PairSet, show: Callable[[int], tuple[bytes, str]], path: Path, *, targets: int = 50, each: int = 9, title: str = ""
) -> None:
    """show: sample id -> (bytes of its image as a browser reads it, its caption). Writes `targets` rows of a target and `each` hard
    pairs of it, best first, and as many noise targets as fill one row."""
    rows = [_row(pairs, show, int(t), each) for t in sampled_targets(pairs, targets)]
    noise = (pairs.noise & pairs.mined).nonzero()[0][: each + 1]
    if len(noise):
        rows.append(
            "<h2>noise: fewer than k pairs count</h2><section>" + "".join(_figure(show, int(t) + pairs.first) for t in noise) + "</section>"
        )
    head = f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style><h1>{html.escape(title)}</h1>"
    with atomic_file(path) as temporary:
        temporary.write_text(head + "\n".join(rows), encoding="utf-8")


def _row(pairs: PairSet, show, target: int, each: int) -> str:
    hard = zip(pairs.hard(target)[:each], pairs.scores(target)[:each], strict=True)
    return f"<section>{_figure(show, target + pairs.first, 'target')}{''.join(_figure(show, int(j), score=s) for j, s in hard)}</section>"


def _figure(show, sample: int, kind: str = "hard", score: float | None = None) -> str:
    image, caption = show(sample)
    said = f"<b>{sample}</b>" + (f" {score:.3f}" if score is not None else "")
    source = f"data:image;base64,{base64.b64encode(image).decode()}"
    return f"<figure class={kind}><img src='{source}' alt=''><figcaption>{said}<br>{html.escape(caption)}</figcaption></figure>"
