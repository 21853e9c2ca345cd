"""What several sub-commands take alike."""

import argparse
import os
from collections.abc import Callable

from helip.errors import HelipError


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option that is a whole number of `least` or more."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is no whole number of {least} or more")
        return int(text)

    return whole


def shard(text: str) -> tuple[int, int]:
    i, _, n = text.partition("/")
    if not (i.isdecimal() and n.isdecimal()):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form i/n, for example 0/4")
    return int(i), int(n)


def loader_workers(asked: int | None, device: str) -> int:
    """Processes that decode images: as asked, else none on a CPU and up to 8 for a GPU."""
    if asked is not None:
        return asked
    return min(8, os.cpu_count() or 1) if device.startswith("cuda") else 0


def torch_device(asked: str | None) -> str:
    """As asked, else cuda where there is one; HelipError for one that torch does not see."""
    import torch

    seen = torch.cuda.device_count()
    if asked is None:
        return "cuda" if seen else "cpu"
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise HelipError(f"--device {asked}: none that torch knows; write cpu, cuda or cuda:1") from None
    if device.type == "cuda" and (device.index or 0) >= seen:
        raise HelipError(f"--device {asked}: torch sees {seen} GPUs here; leave --device out, or run where there are more")
    return asked


def own_group(parser: argparse.ArgumentParser, what: str) -> argparse._ArgumentGroup:
    """The options that say themselves what a study says otherwise; `refuse_own` refuses them beside one."""
    group = parser.add_argument_group(f"for your own {what}, instead of --study")
    parser.set_defaults(own=group)
    return group


def refuse_own(arguments: argparse.Namespace) -> None:
    if "own" not in arguments or not arguments.study:
        return
    said = [a.option_strings[0] for a in arguments.own._group_actions if getattr(arguments, a.dest) != a.default]
    if said:
        raise HelipError(f"{', '.join(said)}: not beside --study, which says it itself; leave out one or the other")
