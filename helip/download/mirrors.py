"""A corpus from ready-made WebDataset shards on a web server, for sources whose addresses have rotted."""

import re
from multiprocessing.pool import ThreadPool
from pathlib import Path

from helip.download.fetching import fetch
from helip.errors import HelipError
from helip.progress import progress

CONNECTIONS = 8
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def addresses(pattern: str) -> list[str]:
    """Returns '.../train-{0000..0575}.tar' as its 576 addresses; both ends count, and the zeros in front are kept."""
    matches = _RANGE.findall(pattern)
    if len(matches) != 1 or int(matches[0][0]) > int(matches[0][1]):
        raise HelipError(f"mirror '{pattern}': needs one range {{first..last}}, e.g. {{0000..0575}}; write its shards that way")
    first, last = matches[0]
    return [_RANGE.sub(f"{n:0{len(first)}d}", pattern) for n in range(int(first), int(last) + 1)]


def fetch_shards(pattern: str, folder: Path, timeout: float = 60, tries: int = 5) -> tuple[list[Path], dict]:
    """Returns the shards in `folder`/mirror, fetched several at a time; started again, it goes on with what is missing."""
    jobs = [(url, folder / "mirror" / url.rpartition("/")[2]) for url in addresses(pattern)]

    def one(job: tuple[str, Path]) -> HelipError | None:
        try:
            fetch(*job, timeout=timeout, tries=tries)
        except HelipError as error:
            return error
        return None

    with ThreadPool(CONNECTIONS) as pool:
        errors = [e for e in progress(pool.imap(one, jobs), len(jobs), "fetching shards", "shards") if e is not None]
    if errors:
        raise HelipError(f"{len(errors)} of {len(jobs)} shards are missing; the first: {errors[0]}")
    return [path for _, path in jobs], {"mirror": pattern, "shards": len(jobs), "bytes": sum(p.stat().st_size for _, p in jobs)}
