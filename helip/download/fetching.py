"""One file from a web address: resumed where an earlier try stopped, checked against its sha256, whole or absent."""

import errno
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

from helip.errors import HelipError
from helip.io import file_digest, read_json, write_json

BLOCK = 1 << 20
FINAL = frozenset({400, 401, 403, 404, 410, 451})  # asking again gives the same answer
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Interrupted(Exception):  # noqa: N818  a try that another try may complete
    """This is raised for a try that another try may complete."""

    pass


def fetch(url: str, path: Path, sha256: str | None = None, timeout: float = 60, tries: int = 5, pause: float = 2.0) -> str:
    """Fetches into `path` unless it is there already, and returns its sha256.

    `sha256` is what the file must have; without it the first fetch records the file's own beside it (PATH.json), and every later one
    must agree. The first must agree with what the server states, if it does (the Hugging Face Hub). An interrupted fetch leaves
    PATH.part, which the next one goes on with.
    """
    recorded = Path(f"{path}.json")
    known = read_json(recorded) if recorded.exists() else {}
    expected = sha256 or known.get("sha256")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        published = _complete(url, Path(f"{path}.part"), timeout, tries, pause)
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


def _complete(url: str, part: Path, timeout: float, tries: int, pause: float) -> str | None:
    """The whole file in `part`; the sha256 that the server states, if it does."""
    for attempt in range(tries):
        before = part.stat().st_size if part.exists() else 0
        try:
            return _resume(url, part, timeout)
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
        if part.exists() and part.stat().st_size == before:
            time.sleep(pause * (attempt + 1))
    have = part.stat().st_size if part.exists() else 0
    raise HelipError(f"{url}: could not be fetched in {tries} tries ({reason}); {have} bytes are kept, run again to go on")


def _resume(url: str, part: Path, timeout: float) -> str | None:
    """One request for what is missing; Interrupted when the connection ends before the file does."""
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
            while block := answer.read(BLOCK):
                file.write(block)
            file.truncate()
            os.fsync(file.fileno())
            if expected is not None and file.tell() < expected:
                raise Interrupted(f"the connection ended at byte {file.tell()} of {expected}")
    return redirects.sha256
