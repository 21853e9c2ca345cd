"""Rows of a JSON file: lines of records, a list of records, COCO's captions, or image -> captions."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from helip.config import TableCorpus
from helip.data.columns import Columns, pick
from helip.data.rows import Row, captions_of, image_of
from helip.errors import HelipError

SHAPE = 'write {"image": ..., "caption": ...}'
LOOKS = 100  # records whose names are the columns: one may lack some
Records = Iterator[tuple[str, dict[str, Any]]]  # (place, record)


def read_records(table: Path, declaration: TableCorpus) -> tuple[dict[str, Any], Iterator[Row]]:
    """Returns how the file is read (its form, its columns) and its rows. Raises HelipError where it is no JSON of records."""
    if table.suffix.lower() != ".json":
        return _tabular("JSON lines", table, _lines(table), declaration)
    content = _whole(table)
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        return {"format": "COCO captions"}, _coco(table, content)
    if isinstance(content, dict) and content and _is_mapping(list(content.values())):
        named = (Row(f"entry '{image}'", image, captions_of(value)) for image, value in content.items())
        return {"format": "JSON of image -> captions"}, named
    return _tabular("JSON", table, _listed(table, content), declaration)


def _tabular(form: str, table: Path, records: Records, declaration: TableCorpus) -> tuple[dict[str, Any], Iterator[Row]]:
    first = list(itertools.islice(records, LOOKS))
    if not first:
        raise HelipError(f"{table}: holds no record; it should hold images and captions")
    names = list(dict.fromkeys(name for _, record in first for name in record))
    columns = pick(table, names, declaration.image_column, declaration.caption_column)
    reading = {"format": form, "image_column": columns.image, "caption_column": columns.caption}
    return reading, (_row(place, record, columns) for place, record in itertools.chain(first, records))


def _row(place: str, record: dict[str, Any], columns: Columns) -> Row:
    image = record.get(columns.image)
    if columns.image == "filepath" and {"filename", "sentences"} <= record.keys():  # Karpathy's splits of COCO: a folder, and a name
        image = f"{image}/{record['filename']}"
    return Row(place, image_of(image), captions_of(record.get(columns.caption)))


def _is_mapping(values: list[Any]) -> bool:
    """Whether these are captions, or lists of them: one at least is, and none is a record. What else stands there is a missing one."""
    each = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return any(isinstance(one, str) for one in each) and not any(isinstance(one, dict | list) for one in each)


def _whole(table: Path) -> Any:
    try:
        return json.loads(table.read_text(encoding="utf-8-sig"), object_pairs_hook=_once(table))
    except UnicodeDecodeError as error:
        raise HelipError(f"{table}: is not UTF-8 ({error}); convert it") from None
    except RecursionError:
        raise HelipError(f"{table}: its lists or records stand too deep within each other; {SHAPE}") from None
    except json.JSONDecodeError as error:
        lines = " (one record a line? then name it .jsonl)" if error.msg == "Extra data" else ""
        raise HelipError(f"{table}: line {error.lineno}: is no JSON: {error.msg}{lines}; mend it") from None


def _lines(table: Path) -> Records:
    once = _once(table)
    with open(table, encoding="utf-8-sig") as file:
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"line {number}", _record(table, f"line {number}", json.loads(line, object_pairs_hook=once))
        except json.JSONDecodeError as error:
            raise HelipError(f"{table}: line {number}: is no JSON: {error.msg}; mend that line") from None
        except UnicodeDecodeError as error:
            raise HelipError(f"{table}: is not UTF-8 ({error}); convert it") from None
        except RecursionError:
            raise HelipError(f"{table}: line {number}: its lists or records stand too deep within each other; {SHAPE}") from None


def _once(table: Path) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """What makes a record of its names and values: json keeps only the last value of a name that stands there twice."""

    def record(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise HelipError(f"{table}: '{twice}' stands twice in one record, and one of its values would be lost; make it one")
        return values

    return record


def _record(table: Path, place: str, record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise HelipError(f"{table}: {place}: is {type(record).__name__} and no record; {SHAPE}")
    return record


def _listed(table: Path, content: Any) -> Records:
    """The records of a list, or of the one list that an object holds."""
    if isinstance(content, dict):
        lists = [name for name, value in content.items() if isinstance(value, list)]
        if len(lists) != 1:
            shown = ", ".join(map(repr, list(content)[:8])) or "nothing"
            raise HelipError(f"{table}: holds {shown}, and {len(lists)} of them are lists of records; write one list")
        content = content[lists[0]]
    if not isinstance(content, list):
        raise HelipError(f"{table}: holds {type(content).__name__}; write a list of records with an image and captions")
    return ((f"entry {n}", _record(table, f"entry {n}", record)) for n, record in enumerate(content))


def _coco(table: Path, content: dict[str, Any]) -> Iterator[Row]:
    """COCO's layout: images with an id and a file_name, annotations with an image_id and a caption."""
    try:
        rows: dict[Any, Row] = {}
        for n, image in enumerate(content["images"]):
            if image["id"] in rows:
                raise HelipError(f"{table}: images, entry {n}: there is an image {image['id']!r} before; mend that entry")
            rows[image["id"]] = Row(f"image {image['id']}", image_of(image["file_name"]))
        for n, annotation in enumerate(content["annotations"]):
            if annotation["image_id"] not in rows:
                raise HelipError(f"{table}: annotations, entry {n}: there is no image {annotation['image_id']!r}; mend that entry")
            rows[annotation["image_id"]].captions.extend(captions_of(annotation["caption"]))
    except (KeyError, TypeError) as error:
        raise HelipError(
            f"{table}: is no COCO captions file: its images or annotations are not COCO's ({error}); name the right file"
        ) from None
    yield from rows.values()
