"""Equations of the site: a fenced block `math` of LaTeX becomes MathML, which browsers show without a script."""

from typing import Any


def block(source: str, language: str, css_class: str, options: dict[str, Any], md: Any, **more: Any) -> str:
    """Returns a block of LaTeX as MathML, each line between blank lines an equation of its own. superfences calls it."""
    from latex2mathml.converter import convert

    return "\n".join(f'<p class="{css_class}">{convert(part, display="block")}</p>' for part in source.strip().split("\n\n"))
