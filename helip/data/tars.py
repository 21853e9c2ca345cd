"""Tar archives in one sequential pass, as WebDataset groups them. Member names become keys and are never used as paths."""

import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from helip.errors import HelipError

BLOCK = 512
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}  # how a file begins -> by what
LARGEST = 256 << 20  # bytes of a member that are ever read into memory
_NAME = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$", re.DOTALL)  # webdataset's own rule: the key ends at the base name's first dot


@dataclass(frozen=True)
class Member:
    """A regular file inside a tar archive: its name and where its bytes are."""

    name: str
    offset: int  # of the data, bytes from the archive's start
    size: int


@dataclass(frozen=True)
class File:
    """One file of a sample: its bytes were read (None when larger than LARGEST or of no interest)."""

    extension: str  # lower case, without the leading dot
    offset: int
    size: int
    data: bytes | None


class BrokenArchive(HelipError):  # noqa: N818  it is the archive that is broken
    """An archive that is cut, or is none. What was read of it before is good."""


def _broken(path: Path, what: str) -> BrokenArchive:
    return BrokenArchive(f"{path}: not a whole tar archive ({what}); fetch it again or remove it from the corpus")


def _headless(path: Path, offset: int, block: bytes) -> BrokenArchive:
    if offset == 0 and (tool := next((tool for mark, tool in COMPRESSED.items() if block.startswith(mark)), None)):
        return BrokenArchive(f"{path}: is compressed by {tool}, and images are read where they lie; unpack it by {tool} -d")
    return _broken(path, f"no member header at byte {offset}")


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU base-256, for sizes over 8 GiB
        return int.from_bytes(field, "big") & ((1 << 8 * len(field) - 1) - 1)
    return int(field.strip(b" \0") or b"0", 8)


def _header(block: bytes) -> tuple[str, int, bytes]:
    """(name, size, type) of a header block; ValueError when it is none."""
    if _number(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * 32:
        raise ValueError("checksum")
    text = [block[a:b].partition(b"\0")[0].decode("utf-8", "surrogateescape") for a, b in ((345, 500), (0, 100))]
    is_ustar = block[257:263] == b"ustar\0"
    return "/".join(t for t in text if t) if is_ustar else text[1], _number(block[124:136]), block[156:157]


def _pax(data: bytes) -> dict[str, str]:
    """Records `length key=value\\n` of a POSIX extended header."""
    records = {}
    while data:
        length = int(data.partition(b" ")[0])
        key, _, value = data[:length].partition(b" ")[2].partition(b"=")
        records[key.decode()] = value[:-1].decode("utf-8", "surrogateescape")
        data = data[max(length, 1) :]
    return records


def members(archive: BinaryIO, path: Path) -> Iterator[Member]:
    """Yields regular files in order, and of archives that were joined (`cat a.tar b.tar`) those of all.

    Raises HelipError where the archive is truncated or broken, or has no end-of-archive block.
    """
    total = archive.seek(0, io.SEEK_END)
    offset = 0
    extended: dict[str, str] = {}  # the records of an extended header, which describe the next member
    while True:
        archive.seek(offset)
        block = archive.read(BLOCK)
        if len(block) < BLOCK:
            raise _broken(path, f"it ends at byte {total} without an end-of-archive mark")
        if not block.strip(b"\0"):
            if (joined := _next_archive(archive, offset)) is None:
                return
            offset = joined
            continue
        try:
            name, size, kind = _header(block)
            size = int(extended.get("size", size))
            if size < 0:
                raise ValueError("size")  # the next header would be this one again
            start = offset + BLOCK
            if start + size > total:
                raise _broken(path, f"it ends at byte {total} inside '{name}'")
            if kind in (b"x", b"L"):
                data = archive.read(size)
                extended |= _pax(data) if kind == b"x" else {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
        except ValueError:
            raise _headless(path, offset, block) from None
        if kind in (b"0", b"\0", b"7"):
            yield Member(extended.get("path", name), start, size)
        if kind not in (b"x", b"L", b"g", b"K"):
            extended = {}
        offset = start + -(-size // BLOCK) * BLOCK


def _next_archive(archive: BinaryIO, offset: int) -> int | None:
    """Where the first member of a joined archive starts behind an end-of-archive mark; None where nothing but padding follows."""
    while block := archive.read(BLOCK):
        offset += BLOCK
        if block.strip(b"\0"):
            try:
                return offset if _header(block) else None
            except ValueError:  # what some writers leave in their last record
                return None
    return None


def samples(path: Path, wanted: frozenset[str]) -> Iterator[tuple[str, list[File]]]:
    """Yields (key, files) of consecutive members that share a key, with the bytes of the wanted extensions (`jpg`, and so `b.jpg`).

    Raises BrokenArchive at the place where the archive is cut, after the files before it.
    """
    key = ""
    files: list[File] = []
    with _open(path) as archive:
        try:
            for member in members(archive, path):
                parts = _NAME.match(member.name)
                if not parts:
                    continue
                if parts[1] != key:
                    if files:
                        yield key, files
                    key, files = parts[1], []
                files.append(_file(archive, member, parts[2].lower(), wanted))
        except BrokenArchive:
            if files:
                yield key, files
            raise
        if files:
            yield key, files


def _file(archive: BinaryIO, member: Member, extension: str, wanted: frozenset[str]) -> File:
    read = (extension in wanted or extension.rpartition(".")[2] in wanted) and member.size <= LARGEST
    if read:
        archive.seek(member.offset)
    return File(extension, member.offset, member.size, archive.read(member.size) if read else None)


def _open(path: Path) -> BinaryIO:
    try:
        return open(path, "rb", buffering=1 << 20)
    except OSError as error:
        raise HelipError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None


def write(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Writes an archive of (name, bytes) with no owner, time or mode of this machine: the same files give the same bytes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
