"""Numbers as pages print them."""

from helip.reporting.cells import Cell

MINUS = "\N{MINUS SIGN}"


def signed(value: float, digits: int = 2) -> str:
    """Returns a number with its sign: the minus is U+2212."""
    return f"{value:+.{digits}f}".replace("-", MINUS)


def between(cell: Cell) -> str:
    """Returns a cell's difference with its 95 % interval."""
    difference = cell.compared()
    return f"{signed(difference.value)} [{signed(difference.low)}, {signed(difference.high)}]"


def p_value(p: float | None) -> str:
    """Returns a p-value with two digits, or "< 0.001"; nothing for None."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
