"""Data as hurried people and bad luck make them: what is lost is counted or refused by name, and nothing is read twice."""

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import indexed, noisy, pairs, tar_of

from helip.config import FolderCorpus, TableCorpus
from helip.data.build import build_corpus
from helip.data.detection import detect
from helip.data.folders import grouped
from helip.errors import HelipError
from helip.mining.trainers import mask_rows, write_rows


@pytest.fixture
def images(tmp_path):
    """Four images in tmp_path/images."""
    (tmp_path / "images").mkdir()
    for i in range(4):
        (tmp_path / "images" / f"{i}.jpg").write_bytes(noisy(seed=i))
    return [f"images/{i}.jpg" for i in range(4)]


def table(tmp_path, name, content, **given):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return build_corpus(TableCorpus(path=str(path), max_quarantined=1.0, **given), tmp_path / "corpus")


# ---------------------------------------------------------------- archives


def test_joined_archives_are_read_to_their_end(tmp_path):
    one, two = (tar_of(tmp_path / f"{n}.tar", pairs(2, start=2 * n)) for n in range(2))
    joined = tmp_path / "joined.tar"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    corpus = build_corpus(detect(str(joined)), tmp_path / "corpus")
    assert [corpus.captions(i) for i in range(len(corpus))] == [[f"caption {i}"] for i in range(4)]
    assert [corpus.image_bytes(i) for i in range(4)] == [noisy(seed=i) for i in range(4)]


def test_garbage_behind_the_end_mark_is_no_archive(tmp_path):
    path = tar_of(tmp_path / "0.tar", pairs(2))
    path.write_bytes(path.read_bytes() + b"left by some writer" * 100)
    assert len(build_corpus(detect(str(path)), tmp_path / "corpus")) == 2


def test_a_compressed_archive_is_named_with_its_tool(tmp_path):
    data = gzip.compress(tar_of(tmp_path / "in" / "0.tar", pairs(2)).read_bytes())
    (tmp_path / "0.tar").write_bytes(data)
    with pytest.raises(HelipError, match=r"0\.tar: is compressed by gzip, .*unpack it by gzip -d"):
        build_corpus(detect(str(tmp_path / "0.tar")), tmp_path / "corpus")
    (tmp_path / "in" / "1.tar.gz").write_bytes(data)
    for path in (tmp_path / "in", tmp_path / "in" / "1.tar.gz"):  # beside a shard too: it would be left out
        with pytest.raises(HelipError, match=r"1\.tar\.gz.*unpack it"):
            detect(str(path))


def test_a_link_to_nothing_is_not_there(tmp_path):
    tar_of(tmp_path / "0.tar", pairs(1))
    (tmp_path / "1.tar").symlink_to(tmp_path / "gone.tar")
    for path in (tmp_path / "1.tar", tmp_path / "*.tar"):
        with pytest.raises(HelipError, match=r"1\.tar: is not there"):
            detect(str(path))


# ---------------------------------------------------------------- folders


def test_a_folder_is_read_once_whatever_links_lead_to_it(tmp_path):
    place = tmp_path / "photos"
    (place / "a").mkdir(parents=True)
    (place / "a" / "1.jpg").write_bytes(noisy())
    (place / "a" / "1.txt").write_text("one")
    (place / "a" / "again").symlink_to(place)
    (place / "b").symlink_to(place / "a")
    assert [name for name, _ in grouped(place)] == ["a/1"]


def test_files_that_differ_in_case_alone_are_ambiguous(tmp_path):
    place = tmp_path / "photos"
    place.mkdir()
    for name in ("1.jpg", "1.JPG", "2.jpg", "3.jpg"):
        (place / name).write_bytes(noisy(seed=ord(name[0])))
    for name in ("1.txt", "2.txt", "2.TXT", "3.txt"):
        (place / name).write_text(name)
    corpus = build_corpus(FolderCorpus(path=str(place), max_quarantined=1.0), tmp_path / "corpus")
    assert [corpus.captions(i) for i in range(len(corpus))] == [["3.txt"]]
    assert corpus.manifest["quarantined"] == {"ambiguous sample": 2}


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def forbidden(place):
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr("os.scandir", forbidden)
    with pytest.raises(HelipError, match="photos: cannot be read"):
        list(grouped(tmp_path / "photos"))


# ---------------------------------------------------------------- text tables


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("image,caption,caption\nimages/0.jpg,a,b\n", "has 2 columns 'caption'"),
        ("image,caption\nhttp://x/y.jpg,a\n", r"t\.csv: line 2: 'http://x/y\.jpg' is an address"),
        ("image,caption\nHTTPS://x/y.jpg,a\n", r"t\.csv: line 2: 'HTTPS://x/y\.jpg' is an address and no file; declare a corpus of kind"),
        (
            "image,caption\ns3://x/y.jpg,a\n",
            r"t\.csv: line 2: 's3://x/y\.jpg' is an address and no file; write the path of a file on a disk",
        ),
    ],
)
def test_a_table_that_could_be_read_two_ways_is_refused(tmp_path, images, content, sentence):
    with pytest.raises(HelipError, match=sentence):
        table(tmp_path, "t.csv", content)


def test_empty_lines_before_the_header_are_no_header(tmp_path, images):
    assert table(tmp_path, "t.csv", "\n \nimage,caption\nimages/0.jpg,a\n").captions(0) == ["a"]


def test_a_name_too_long_for_a_file_costs_its_row(tmp_path, images):
    corpus = table(tmp_path, "t.csv", f"image,caption\n{'x' * 300}.jpg,a\nimages/0.jpg,b\n")
    assert corpus.captions(0) == ["b"]
    assert corpus.manifest["quarantined"] == {"image file cannot be read": 1}


@pytest.mark.parametrize("separator", ["\\t", "tab", "\t"])
def test_a_tab_is_written_as_shells_can(tmp_path, images, separator):
    assert table(tmp_path, "t.csv", "image\tcaption\nimages/0.jpg\ta, b\n", separator=separator).captions(0) == ["a, b"]


@pytest.mark.parametrize("encoding", ["hex", "rot13", "nonesuch", "utf\0-8"])
def test_a_codec_that_is_no_encoding_is_refused(tmp_path, images, encoding):
    with pytest.raises(HelipError, match=f"'{encoding}' is no encoding"):
        table(tmp_path, "t.csv", "image,caption\nimages/0.jpg,a\n", encoding=encoding)


def test_utf32_is_told_from_utf16(tmp_path, images):
    content = "image,caption\nimages/0.jpg,caf\u00e9\n".encode("utf-32")
    assert table(tmp_path, "t.csv", content, encoding="utf-32").captions(0) == ["caf\u00e9"]


def test_utf16_without_its_mark_is_named(tmp_path, images):
    content = "image,caption\nimages/0.jpg,caf\u00e9\n".encode("utf-16-le")
    with pytest.raises(HelipError, match=r"t\.csv: its first line holds NULs, .*for example utf-16-le"):
        table(tmp_path, "t.csv", content)
    assert table(tmp_path, "t.csv", content, encoding="utf-16-le").captions(0) == ["caf\u00e9"]


def test_a_root_that_is_not_there_is_named(tmp_path, images):
    with pytest.raises(HelipError, match=r"nowhere: is no folder.*--image-root"):
        table(tmp_path, "t.csv", "image,caption\nimages/0.jpg,a\n", image_root=str(tmp_path / "nowhere"))


# ---------------------------------------------------------------- JSON and parquet


RECORD = '{"image": "images/0.jpg", "caption": "a"}'
COCO = {"images": [{"id": 1, "file_name": "images/0.jpg"}], "annotations": [{"image_id": 1, "caption": "a"}]}


@pytest.mark.parametrize(
    ("name", "content", "given"),
    [
        ("t.jsonl", RECORD, {"separator": ","}),
        ("t.json", f"[{RECORD}]", {"encoding": "latin-1"}),
        ("t.json", f"[{RECORD}]", {"quoted": False}),
        ("t.json", '{"images/0.jpg": "a"}', {"image_column": "image"}),
        ("t.json", json.dumps(COCO), {"caption_column": "caption"}),
    ],
)
def test_an_option_that_a_table_has_no_use_for_is_refused(tmp_path, images, name, content, given):
    with pytest.raises(HelipError, match=f"no use for {next(iter(given))}; leave it out"):
        table(tmp_path, name, content, **given)
    assert table(tmp_path, name, content).captions(0) == ["a"]


@pytest.mark.parametrize("name", ["t.json", "t.jsonl"])
def test_json_within_json_without_end_is_refused(tmp_path, name):
    with pytest.raises(HelipError, match="too deep within each other"):
        table(tmp_path, name, "[" * 100_000)


def test_half_a_character_costs_its_row(tmp_path, images):
    rows = [RECORD, '{"image": "images/1.jpg", "caption": "cut \\ud83d"}', '{"image": "images/\\ud83d.jpg", "caption": "b"}']
    corpus = table(tmp_path, "t.jsonl", "\n".join(rows))
    assert [corpus.captions(i) for i in range(len(corpus))] == [["a"]]
    assert corpus.manifest["quarantined"] == {"caption is not UTF-8": 1, "image file cannot be read": 1}


def test_a_bad_record_in_a_shard_costs_its_sample(tmp_path):
    texts = [b'{"meta": {"caption": "a"}}', b"[" * 100_000, b'{"meta": {"caption": "cut \\ud83d"}}', b'{"meta": {"text": "d"}}']
    files = [file for i, text in enumerate(texts) for file in ((f"{i}.jpg", noisy(seed=i)), (f"{i}.json", text))]
    corpus = indexed(tmp_path, files, captions="json.meta.caption")
    assert [corpus.captions(i) for i in range(len(corpus))] == [["a"]]
    assert corpus.manifest["quarantined"] == {"caption is not UTF-8": 1, "no caption": 2}
    assert "its .json has no 'meta.caption'; it has 'text'" in (corpus.folder / "quarantine.csv").read_text()


def test_an_image_without_caption_in_a_mapping_is_left_out(tmp_path, images):
    corpus = table(tmp_path, "t.json", json.dumps({images[0]: "a", images[1]: None}))
    assert (corpus.captions(0), corpus.manifest["quarantined"]) == (["a"], {"no caption": 1})


def test_an_id_that_two_of_cocos_images_have_is_named(tmp_path, images):
    twice = COCO | {"images": [{"id": 1, "file_name": name} for name in images]}
    with pytest.raises(HelipError, match="images, entry 1: there is an image 1 before"):
        table(tmp_path, "t.json", json.dumps(twice))


def test_a_list_in_an_annotation_is_several_captions(tmp_path, images):
    annotations = [{"image_id": 1, "caption": ["a", "b"]}, {"image_id": 1, "caption": "c"}, {"image_id": 1, "caption": None}]
    corpus = table(tmp_path, "t.json", json.dumps(COCO | {"annotations": annotations}))
    assert corpus.captions(0) == ["a", "b", "c"]
    assert corpus.manifest["quarantined"] == {"one of several captions: no caption": 1}


def test_captions_that_spark_wrote_as_bytes_are_texts(tmp_path, images):
    pq.write_table(pa.table({"image": images, "caption": [b"a", "\u00e9".encode(), b"c", None]}), tmp_path / "t.parquet")
    corpus = build_corpus(TableCorpus(path=str(tmp_path / "t.parquet"), max_quarantined=1.0), tmp_path / "corpus")
    assert [corpus.captions(i) for i in range(len(corpus))] == [["a"], ["\u00e9"], ["c"]]


# ---------------------------------------------------------------- nothing is dropped unseen


def test_every_row_without_an_image_is_counted(tmp_path, images):
    """An empty cell is no name that rows share."""
    lines = [f"{image},good\n,lost {n}\n" for n, image in enumerate(images)]
    for name, content in (("followed.csv", lines), ("apart.csv", sorted(lines, key=lambda line: line.split("\n")[1]))):
        content = "image,caption\n" + "".join(content)
        assert table(tmp_path, name, content).manifest["quarantined"] == {"no image": 4}
    rows = "".join(lines).splitlines()
    corpus = table(tmp_path, "blocks.csv", "image,caption\n" + "\n".join(sorted(rows)) + "\n")
    assert len(corpus) == 4 and corpus.manifest["quarantined"] == {"no image": 4}


def test_images_without_a_name_in_cocos_layout_are_counted(tmp_path, images):
    content = {
        "images": [{"id": n, "file_name": image} for n, image in enumerate([*images, "", ""])],
        "annotations": [{"image_id": n, "caption": f"c {n}"} for n in range(6)],
    }
    corpus = table(tmp_path, "coco.json", json.dumps(content))
    assert len(corpus) == 4 and corpus.manifest["quarantined"] == {"no image": 2}


@pytest.mark.parametrize("bad", ["", None, 7, "nan"])
def test_one_bad_caption_of_several_is_left_out_alone(tmp_path, images, bad):
    captions = ["good", bad, "other"]
    (tmp_path / "t.jsonl").write_text(json.dumps({"image": images[0], "captions": captions}) + "\n")
    files = [("a.jpg", (tmp_path / images[0]).read_bytes()), ("a.json", json.dumps({"captions": captions}).encode())]
    tar_of(tmp_path / "in" / "0.tar", files)
    shards = build_corpus(detect(str(tmp_path / "in"), {"max_quarantined": 1.0}), tmp_path / "shards")
    packed = build_corpus(detect(str(tmp_path / "t.jsonl"), {"max_quarantined": 1.0}), tmp_path / "packed")
    assert shards.captions(0) == packed.captions(0) == ["good", "other"]
    assert shards.digest == packed.digest and shards.manifest["quarantined"] == packed.manifest["quarantined"]
    assert sum(shards.manifest["quarantined"].values()) == 1


@pytest.mark.parametrize("name", ["m.json", "m.jsonl"])
def test_a_name_that_stands_twice_in_json_is_refused(tmp_path, images, name):
    content = f'{{"{images[0]}": "one", "{images[0]}": "two"}}' if name == "m.json" else '{"image": "a", "caption": "b", "caption": "c"}'
    twice = images[0] if name == "m.json" else "caption"
    with pytest.raises(HelipError, match=f"{name}: '{twice}' stands twice in one record, and one of its values would be lost"):
        table(tmp_path, name, content)


TEXTS = pa.array([b"fine", b"caf\xe9"], pa.binary()).view(pa.string())
EACH = pa.array([0, 1, 2], pa.int32())  # where the list of each text starts


@pytest.mark.parametrize(
    "texts",
    [
        TEXTS,
        TEXTS.cast(pa.string_view()),
        pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), TEXTS),
        pa.ListArray.from_arrays(EACH, TEXTS),
        pa.LargeListArray.from_arrays(EACH.cast(pa.int64()), TEXTS),
        pa.ListArray.from_arrays(EACH, pa.StructArray.from_arrays([TEXTS], ["raw"])),
    ],
    ids=lambda texts: str(texts.type),
)
def test_bytes_in_parquet_that_are_no_utf8_cost_their_text(tmp_path, images, texts):
    pq.write_table(pa.table({"image": images[:2], "caption": texts}), tmp_path / "t.parquet")
    corpus = build_corpus(TableCorpus(path=str(tmp_path / "t.parquet"), max_quarantined=0.5), tmp_path / "corpus")
    assert [corpus.captions(i) for i in range(len(corpus))] == [["fine"]]
    assert corpus.manifest["quarantined"] == {"caption is not UTF-8": 1}


def test_nothing_of_a_column_of_lists_slips(tmp_path, images):
    """A null list holds no value, and a null record is no caption."""
    cells = [[{"raw": "a"}, None, {"raw": "b"}], None, [{"raw": None}], [{"raw": "c"}]]
    pq.write_table(pa.table({"image": images, "sentences": cells}).slice(1), tmp_path / "t.parquet")
    corpus = build_corpus(TableCorpus(path=str(tmp_path / "t.parquet"), max_quarantined=0.9), tmp_path / "corpus")
    assert [(corpus.name(i), corpus.captions(i)) for i in range(len(corpus))] == [(images[3], ["c"])]
    pq.write_table(pa.table({"image": images, "sentences": cells}), tmp_path / "t.parquet")
    corpus = build_corpus(TableCorpus(path=str(tmp_path / "t.parquet"), max_quarantined=0.9), tmp_path / "other")
    assert [corpus.captions(i) for i in range(len(corpus))] == [["a", "b"], ["c"]]
    assert corpus.manifest["quarantined"] == {"no caption": 2, "one of several captions: no caption": 1}


def test_a_first_record_that_lacks_a_name_costs_itself_alone(tmp_path, images):
    corpus = table(tmp_path, "t.jsonl", '{"image": "images/0.jpg"}\n{"image": "images/1.jpg", "caption": "b"}\n')
    assert corpus.captions(0) == ["b"] and corpus.manifest["quarantined"] == {"no caption": 1}


def test_records_of_captions_in_a_shard_are_read_as_a_tables(tmp_path):
    texts = [{"captions": [{"caption": "a"}, {"caption": "b"}]}, {"captions": "['c', nan, 'd']"}]
    files = [file for i, text in enumerate(texts) for file in ((f"{i}.jpg", noisy(seed=i)), (f"{i}.json", json.dumps(text).encode()))]
    corpus = indexed(tmp_path, files, captions="json.captions")
    assert [corpus.captions(i) for i in range(2)] == [["a", "b"], ["c", "d"]]


# ---------------------------------------------------------------- names


def test_files_that_begin_with_a_dot_are_nobodys(tmp_path, images):
    """macOS leaves `._0.tar` beside a shard; it came first, and showed no captions."""
    tar_of(tmp_path / "in" / "0.tar", [("a.jpg", noisy()), ("a.json", b'{"captions": ["a"]}')])
    (tmp_path / "in" / "._0.tar").write_bytes(b"no archive")
    assert build_corpus(detect(str(tmp_path / "in")), tmp_path / "shards").captions(0) == ["a"]
    for name in ("t", ".t", ".cache/t"):
        (tmp_path / "tables" / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"image": [noisy()], "caption": ["a"]}), tmp_path / "tables" / f"{name}.parquet")
    assert len(build_corpus(detect(str(tmp_path / "tables")), tmp_path / "packed")) == 1


def test_a_glob_may_name_one_folder(tmp_path):
    for folder in ("pairs_a", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_bytes(noisy())
        (tmp_path / folder / "a.txt").write_text("a caption")
    assert len(build_corpus(detect(str(tmp_path / "pairs_*")), tmp_path / "corpus")) == 1
    with pytest.raises(HelipError, match="names 2 places; name one folder of images and captions"):
        build_corpus(FolderCorpus(path=str(tmp_path / "{pairs_a,other}")), tmp_path / "corpus")


def test_a_folder_may_have_a_dollar_in_its_name(tmp_path, images, monkeypatch):
    monkeypatch.delenv("usd", raising=False)
    (tmp_path / "price$usd").mkdir()
    (tmp_path / "price$usd" / "t.csv").write_text(f"image,caption\n{tmp_path / images[0]},a caption\n")
    assert len(build_corpus(detect(str(tmp_path / "price$usd" / "t.csv")), tmp_path / "corpus")) == 1


@pytest.mark.parametrize(("name", "shown"), [(b"caf\xe9", "caf\\xe9"), (b"a\rb", "a\rb"), (b'a"b', 'a"b'), (b"a\nb", "a\nb")])
def test_any_name_of_a_file_can_be_shown(tmp_path, name, shown):
    folder = tmp_path / "photos"
    folder.mkdir()
    for end, content in ((b".jpg", noisy()), (b".txt", b"a caption")):
        (folder / os.fsdecode(name + end)).write_bytes(content)
    corpus = build_corpus(detect(str(folder)), tmp_path / "corpus")
    assert corpus.name(0) == f"{shown}.jpg"
    corpus.name(0).encode()


def test_keys_that_are_no_utf8_can_be_exported(tmp_path):
    tar_of(tmp_path / "in" / "0.tar", [(os.fsdecode(b"caf\xe9.jpg"), noisy()), (os.fsdecode(b"caf\xe9.txt"), b"a caption")])
    corpus = build_corpus(detect(str(tmp_path / "in")), tmp_path / "corpus")
    assert corpus.key(0) == "caf\udce9" and corpus.name(0) == "caf\\xe9"
    for end in ("parquet", "csv", "jsonl"):
        assert write_rows(mask_rows(np.array([True]), corpus), tmp_path / f"mask.{end}") == 1
    assert pq.read_table(tmp_path / "mask.parquet")["row_key"].to_pylist() == ["caf\\xe9"]


def test_names_are_printed_where_the_terminal_has_less_than_they(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for end, content in ((b".jpg", noisy()), (b".txt", b"a caption")):
        (folder / os.fsdecode(b"caf\xe9" + end)).write_bytes(content)
    os.rename(folder, tmp_path / os.fsdecode(b"d\xe9j\xe0"))
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    line = [sys.executable, "-m", "helip", "corpus", "--data", os.fsdecode(b"d\xe9j\xe0"), "--out", "corpus"]
    ran = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    assert rb"d\udce9j\udce0: a folder of images and captions" in ran.stdout
