"""One file from a web address: resumed where an earlier try stopped, checked against its sha256, whole or absent."""

import errno
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from helip.errors import HelipError
from helip.io import file_digest, read_json, write_json

BLOCK = 1 << 20
LEAST_RATE = 1024  # bytes a second
FINAL = frozenset({400, 401, 403, 404, 410, 451})  # asking again gives the same answer
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Interrupted(Exception):  # noqa: N818  a try that another try may complete
    """This is raised for a try that another try may complete."""

    pass


def fetch(
    url: str, path: Path, sha256: str | None = None, timeout: float = 60, tries: int = 5, pause: float = 2.0, deadline: float = 24 * 3600
) -> str:
    """Fetches into `path` unless it is there already, and returns its sha256.

    `sha256` is what the file must have; without it the first fetch records the file's own beside it (PATH.json), and every later one
    must agree. The first must agree with what the server states, if it does (the Hugging Face Hub). An interrupted fetch leaves
    PATH.part, which the next one goes on with.

    A try ends when the server is silent for `timeout` seconds, or sends less than LEAST_RATE over as long; all tries end after `deadline`
    seconds. HelipError is raised where the file is not whole then.
    """
    recorded = Path(f"{path}.json")
    known = read_json(recorded) if recorded.exists() else {}
    expected = sha256 or known.get("sha256")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        published = _complete(url, Path(f"{path}.part"), timeout, tries, pause, deadline)
        why = "declared: correct sha256 if you trust the new file" if sha256 else _when(recorded) if expected else "its server states"
        actual = _checked(url, Path(f"{path}.part"), expected or published, why)
        os.replace(f"{path}.part", path)
        Path(f"{path}.part.etag").unlink(missing_ok=True)
    else:
        actual = agreed(path, known["sha256"] if known.get("bytes") == path.stat().st_size else file_digest(path), sha256, recorded)
    if known.get("sha256") != actual or known.get("bytes") != path.stat().st_size:
        write_json(recorded, {"url": url, "sha256": actual, "bytes": path.stat().st_size, "pinned": sha256 is not None})
    return actual


def agreed(path: Path, actual: str, sha256: str | None, recorded: Path) -> str:
    """Returns the actual sha256 of a file if it is the declared one, or without one the one recorded at first; else HelipError."""
    expected = sha256 or (read_json(recorded)["sha256"] if recorded.exists() else actual)
    if actual != expected:
        origin = "declared" if sha256 else f"recorded in {recorded}"
        raise HelipError(f"{path}: its sha256 is {actual}, and {expected} is {origin}; delete the file and fetch it again, or correct that")
    return actual


def _when(recorded: Path) -> str:
    return f"recorded in {recorded} when it was first fetched: delete that record if you trust the new file"


def _checked(url: str, part: Path, expected: str | None, what: str) -> str:
    actual = file_digest(part)
    if expected and actual != expected:
        _forget(part)
        raise HelipError(f"{url}: its sha256 is {actual}, not the {expected} {what}")
    return actual


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    Path(f"{part}.etag").unlink(missing_ok=True)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows as usual, and remembers the sha256 that the Hugging Face Hub states of a large file where it redirects to it."""

    sha256: str | None = None

    def redirect_request(self, request, file, code, message, headers, address):
        stated = (headers.get("X-Linked-Etag") or "").strip('"')
        if re.fullmatch("[0-9a-f]{64}", stated):
            self.sha256 = stated
        return super().redirect_request(request, file, code, message, headers, address)


def _complete(url: str, part: Path, timeout: float, tries: int, pause: float, deadline: float) -> str | None:
    """The whole file in `part`; the sha256 that the server states, if it does."""
    ends, attempt = time.monotonic() + deadline, 0
    for attempt in range(tries):
        before = part.stat().st_size if part.exists() else 0
        try:
            return _resume(url, part, timeout, ends)
        except urllib.error.HTTPError as error:
            if error.code in FINAL:
                raise HelipError(
                    f"{url}: the server answers {error.code} {error.reason}; correct the address or fetch it by hand"
                ) from None
            reason = f"{error.code} {error.reason}"
            if error.code == 416:  # nothing beyond what we have: whole, but nobody checked it
                _forget(part)
        except (Interrupted, http.client.HTTPException, OSError) as error:
            if isinstance(error, OSError) and (error.filename or error.errno in FULL):  # a file of ours, not the network
                where = error.filename or part
                raise HelipError(f"{where}: could not be written ({error.strerror}); free space or fix the permissions") from None
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        except ValueError as error:
            raise HelipError(f"{url}: not a web address ({error}); correct it") from None
        if time.monotonic() >= ends:
            reason = f"not whole after {deadline:g} s"
            break
        if part.exists() and part.stat().st_size == before:
            time.sleep(pause * (attempt + 1))
    have = part.stat().st_size if part.exists() else 0
    raise HelipError(f"{url}: could not be fetched in {attempt + 1} tries ({reason}); {have} bytes are kept, run again to go on")


def _steady(answer: http.client.HTTPResponse, timeout: float, ends: float) -> Iterator[bytes]:
    """What arrives, as it does. Interrupted at the time `ends`, and when less than LEAST_RATE came over `timeout` seconds."""
    begun, got = time.monotonic(), 0
    while block := answer.read1(BLOCK):  # what one packet brings: `read` would wait for a whole block
        yield block
        now, got = time.monotonic(), got + len(block)
        if now >= ends:
            raise Interrupted("the time is over")
        if now - begun >= timeout:
            if got < LEAST_RATE * (now - begun):
                raise Interrupted(f"{got} bytes in {now - begun:.0f} s are too slow")
            begun, got = now, 0


def _resume(url: str, part: Path, timeout: float, ends: float) -> str | None:
    """One request for what is missing; Interrupted when the connection ends before the file does, or is too slow."""
    tag = Path(f"{part}.etag")
    have = part.stat().st_size if part.exists() and tag.exists() else 0  # without its ETag nobody knows what the part is a part of
    headers = {"User-Agent": "helip"} | ({"Range": f"bytes={have}-", "If-Range": tag.read_text()} if have else {})
    redirects = _Redirects()
    with urllib.request.build_opener(redirects).open(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
        have = have if answer.status == 206 else 0
        expected = int(answer.headers["Content-Length"]) + have if answer.headers["Content-Length"] else None
        tag.unlink(missing_ok=True)
        if etag := answer.headers.get("ETag"):
            tag.write_text(etag)
        with open(part, "r+b" if have else "wb") as file:
            file.seek(have)
            for block in _steady(answer, timeout, ends):
                file.write(block)
            file.truncate()
            os.fsync(file.fileno())
            if expected is not None and file.tell() < expected:
                raise Interrupted(f"the connection ended at byte {file.tell()} of {expected}")
    return redirects.sha256
