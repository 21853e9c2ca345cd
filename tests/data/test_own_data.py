"""A user's own data in every usual form: detected, said, and read to the same pairs."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import indexed, noisy, pairs, tar_of

from helip.cli import main
from helip.config import FolderCorpus, ShardCorpus, TableCorpus
from helip.data.build import build_corpus
from helip.data.corpus import Corpus
from helip.data.detection import described, detect
from helip.data.rows import captions_of
from helip.data.tables import count_images
from helip.errors import HelipError
from helip.own.sources import Amount, amount_of, corpus_of

CAPTIONS = ["a dog, running", "two cats; one ball", "a red | blue flag"]


@pytest.fixture
def images(tmp_path):
    """Three images in tmp_path/images, and their bytes."""
    (tmp_path / "images").mkdir()
    data = [noisy(seed=i) for i in range(3)]
    for i, one in enumerate(data):
        (tmp_path / "images" / f"{i}.jpg").write_bytes(one)
    return data


def built(tmp_path, path, **given) -> Corpus:
    return build_corpus(detect(str(path), given), tmp_path / "corpus")


def read(corpus) -> list[tuple[bytes, list[str]]]:
    return [(corpus.image_bytes(i), corpus.captions(i)) for i in range(len(corpus))]


# ---------------------------------------------------------------- folders


def test_a_folder_of_images_and_texts_at_any_depth(tmp_path):
    place = tmp_path / "photos"
    for name, seed, text in (("b/c/2.jpg", 2, "two"), ("a.b.JPG", 0, " one \n\nother\r\n"), ("b/1.png", 1, "a \u00e9")):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noisy("PNG" if name.endswith("png") else "JPEG", seed=seed))
        path.with_suffix(".txt").write_bytes(text.encode())
    declared = detect(str(place))
    assert declared == FolderCorpus(path=str(place), captions="lines")
    assert described(declared) == f"{place}: a folder of images and captions (kind: folder, captions: lines)"
    corpus = build_corpus(declared, tmp_path / "corpus")
    assert read(corpus) == [
        ((place / "a.b.JPG").read_bytes(), ["one", "other"]),
        ((place / "b/1.png").read_bytes(), ["a \u00e9"]),
        ((place / "b/c/2.jpg").read_bytes(), ["two"]),
    ]
    assert corpus.manifest["captions"] == 4
    assert [corpus.name(i) for i in range(3)] == ["a.b.JPG", "b/1.png", "b/c/2.jpg"]  # their keys are numbers


def test_a_folder_names_what_it_lacks(tmp_path):
    place = tmp_path / "photos"
    place.mkdir()
    (place / "a.jpg").write_bytes(noisy())
    (place / "a.txt").write_text("fine")
    (place / "b.jpg").write_bytes(noisy(seed=1))
    (place / "c.txt").write_text("alone")
    with pytest.raises(HelipError, match=r"2 of 3 samples .*no image: c; no caption: b.jpg"):
        built(tmp_path, place)
    (place / "a.txt").unlink()
    with pytest.raises(HelipError, match=r"photos: holds no shards, no image with a caption beside it and no table; name \.tar shards"):
        detect(str(place))


def test_captions_in_json_beside_images(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(noisy())
    (tmp_path / "photos" / "a.json").write_text(json.dumps({"width": 3, "text": ["one", "two"]}))
    corpus = built(tmp_path, tmp_path / "photos")
    assert read(corpus) == [(noisy(), ["one", "two"])]


# ---------------------------------------------------------------- text tables


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
@pytest.mark.parametrize("names", [("image", "caption"), ("filepath", "title"), ("File_Name", "TEXT")])
def test_any_separator_and_the_usual_columns(tmp_path, images, separator, names):
    lines = [names, *((f"images/{i}.jpg", f'"{caption}"') for i, caption in enumerate(CAPTIONS))]
    (tmp_path / "t.csv").write_text("\n".join(separator.join(("x", *line)) for line in lines))
    corpus = built(tmp_path, tmp_path / "t.csv")
    assert read(corpus) == [(image, [caption]) for image, caption in zip(images, CAPTIONS, strict=True)]
    assert corpus.manifest["reading"] == {
        "format": "text table", "separator": separator, "image_column": names[0], "caption_column": names[1], "image_root": str(tmp_path),
    }  # fmt: skip


def test_flickr30k_as_it_is_published(tmp_path, images):
    """One of its rows lacks a separator: that caption is left out and listed, its image stays."""
    rows = ["image_name| comment_number| comment", "0.jpg| 0| A dog , running .", "0.jpg| 1| A brown dog .", "1.jpg| 0| Two cats .",
            "0.jpg| 4   A dog runs .", "2.jpg| 0| \"A\" flag ."]  # fmt: skip
    (tmp_path / "results.csv").write_text("\n".join(rows) + "\n")
    corpus = built(tmp_path, tmp_path, max_quarantined=0.5)
    assert read(corpus) == [(images[0], ["A dog , running .", "A brown dog ."]), (images[1], ["Two cats ."]), (images[2], ['"A" flag .'])]
    assert corpus.manifest["quarantined"] == {"one of several captions: no caption": 1}
    assert corpus.manifest["reading"]["image_root"] == str(tmp_path / "images")


def test_rows_of_one_image_are_one_pair_with_its_captions(tmp_path, images):
    rows = [f"images/{i % 3}.jpg,caption {i}" for i in range(15)]
    for name, order in (("apart", rows), ("together", sorted(rows, key=lambda row: row.partition(",")[0]))):
        (tmp_path / f"{name}.csv").write_text("\n".join(["image,caption", *order]) + "\n")
        corpus = build_corpus(detect(str(tmp_path / f"{name}.csv")), tmp_path / name)
        assert read(corpus) == [(images[i], [f"caption {i + 3 * n}" for n in range(5)]) for i in range(3)]
        assert (len(corpus), corpus.manifest["captions"]) == (3, 15)
        assert [corpus.name(i) for i in range(3)] == [f"images/{i}.jpg" for i in range(3)]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["images/0.jpg,a dog, a cat"], r"t\.csv: line 2 has 3 cells and the header 2 \('images/0.jpg,a dog,a cat'\); quote the cell"),
        (["images/0.jpg,fine", 'images/1.jpg,"open', *["images/2.jpg,c"] * 18], r"t\.csv: line 3: unexpected end of data; close its quote"),
        (['images/0.jpg,"a "big" dog"'], r"t\.csv: line 2: ',' expected after '\"'; close its quote, or give quoted: false"),
    ],
)
def test_a_corrupt_row_is_named_and_nothing_is_dropped(tmp_path, images, rows, sentence):
    (tmp_path / "t.csv").write_text("\n".join(["image,caption", *rows]) + "\n")
    with pytest.raises(HelipError, match=sentence):
        built(tmp_path, tmp_path / "t.csv", max_quarantined=1)
    assert not (tmp_path / "corpus").exists()


def test_quotes_are_characters_where_declared(tmp_path, images):
    (tmp_path / "t.tsv").write_text('image\tcaption\nimages/0.jpg\t"a "big" dog\n')
    assert read(built(tmp_path, tmp_path / "t.tsv", quoted=False)) == [(images[0], ['"a "big" dog'])]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path, images, encoding):
    (tmp_path / "t.csv").write_bytes("image,caption\nimages/0.jpg,caf\u00e9\n".encode(encoding))
    given = {"encoding": "latin-1"} if encoding == "latin-1" else {}
    assert read(built(tmp_path, tmp_path / "t.csv", **given)) == [(images[0], ["caf\u00e9"])]
    if given:
        with pytest.raises(HelipError, match=r"1 caption is not UTF-8.*name the table's encoding \(--encoding\), for example latin-1"):
            build_corpus(detect(str(tmp_path / "t.csv")), tmp_path / "other")


@pytest.mark.parametrize("given", [{}, {"encoding": "UTF-8"}, {"encoding": "utf8"}, {"encoding": "utf_8_sig"}])
def test_utf8_is_utf8_however_it_is_spelt(tmp_path, images, given):
    (tmp_path / "t.csv").write_bytes(b"image,caption\nimages/0.jpg,caf\xe9\nimages/1.jpg,fine\n")
    corpus = built(tmp_path, tmp_path / "t.csv", max_quarantined=0.5, **given)
    assert read(corpus) == [(images[1], ["fine"])]
    assert corpus.manifest["quarantined"] == {"caption is not UTF-8": 1}


@pytest.mark.parametrize(
    "cell",
    [
        '["a dog", "it\'s a [big] dog, \u00e9"]',
        "['a dog', \"it's a [big] dog, \u00e9\"]",
        "['a dog'\n \"it's a [big] dog, \u00e9\"]",  # of numpy
        "['a dog' nan None\n \"it's a [big] dog, \u00e9\"]",
        """[{'raw': 'a dog', 'tokens': ['a', 'dog']}, {'raw': "it's a [big] dog, \u00e9"}]""",
    ],
)
def test_a_list_in_a_cell_of_text_is_several_captions(tmp_path, images, cell):
    with open(tmp_path / "t.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "raw"), ("images/0.jpg", cell)])
    assert read(built(tmp_path, tmp_path / "t.csv", max_quarantined=0.9)) == [(images[0], ["a dog", "it's a [big] dog, \u00e9"])]


@pytest.mark.parametrize("text", ["[sic] a dog", "[a dog]", "[1, 2]", "['a' dog]", "[" * 50_000, "[{[]: 1}]"])
def test_a_bracket_alone_makes_no_list(text):
    assert captions_of(text) == [text]


def test_a_bad_byte_in_a_list_costs_that_caption(tmp_path, images):
    (tmp_path / "t.csv").write_bytes(b"image,caption\nimages/0.jpg,\"['caf\xe9', 'fine']\"\nimages/1.jpg,[]\n")
    corpus = built(tmp_path, tmp_path / "t.csv", max_quarantined=1.0)
    assert read(corpus) == [(images[0], ["fine"])]
    assert corpus.manifest["quarantined"] == {"one of several captions: caption is not UTF-8": 1, "no caption": 1}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_space_may_stand_before_a_quote(tmp_path, images, separator):
    rows = [("image", "caption"), ('"images/0.jpg"', '"a dog, a cat; a hat"'), ("images/1.jpg", "plain")]
    (tmp_path / "t.csv").write_text("\n".join(f"{separator} ".join(row) for row in rows))
    assert read(built(tmp_path, tmp_path / "t.csv")) == [(images[0], ["a dog, a cat; a hat"]), (images[1], ["plain"])]


def test_a_space_can_be_the_separator(tmp_path, images):
    (tmp_path / "t.txt").write_text('image caption\nimages/0.jpg "a dog"\n')
    assert read(built(tmp_path, tmp_path / "t.txt", separator=" ")) == [(images[0], ["a dog"])]


@pytest.mark.parametrize("text", ["nan", "None", "NULL", "<NA>", "a\0b"])
def test_missing_values_are_no_captions(tmp_path, images, text):
    (tmp_path / "t.csv").write_text(f"image,caption\nimages/0.jpg,{text}\nimages/1.jpg,none of these dogs\n")
    corpus = built(tmp_path, tmp_path / "t.csv", max_quarantined=0.5)
    assert read(corpus) == [(images[1], ["none of these dogs"])]
    reason = "caption holds a NUL" if "\0" in text else "caption is a missing value"
    assert corpus.manifest["quarantined"] == {reason: 1}
    shard = indexed(tmp_path / "tar", [("a.jpg", noisy()), ("a.txt", text.encode()), *pairs(1, 1)])
    assert shard.manifest["quarantined"] == {reason: 1}


def test_paths_start_at_the_table_else_where_one_works(tmp_path, images, monkeypatch):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "t.csv").write_text("image,caption\nimages/0.jpg,one\n")
    with pytest.raises(HelipError, match=rf"No such file.*looked for in {tmp_path}/lists, .*name the right image_root.*quarantine\.csv"):
        built(tmp_path, tmp_path / "lists" / "t.csv")
    monkeypatch.chdir(tmp_path)
    assert built(tmp_path, "lists/t.csv").manifest["reading"]["image_root"] == str(tmp_path)
    monkeypatch.chdir("/")
    corpus = built(tmp_path, tmp_path / "lists" / "t.csv", image_root=str(tmp_path))
    assert read(corpus) == [(images[0], ["one"])]


# ---------------------------------------------------------------- JSON and parquet

FILES = [(f"images/{i}.jpg", [caption, f"again {i}"]) for i, caption in enumerate(CAPTIONS)]


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.jsonl", "\n".join(json.dumps({"image": f, "captions": c}) for f, c in FILES), "JSON lines"),
        ("a.json", json.dumps([{"file_name": f, "text": c} for f, c in FILES]), "JSON"),
        ("a.json", json.dumps({"version": 1, "data": [{"path": f, "caption": c} for f, c in FILES]}), "JSON"),
        ("a.json", json.dumps(dict(FILES)), "JSON of image -> captions"),
        ("a.json", json.dumps({"dataset": "coco", "images": [
            {"filepath": "images", "filename": f[7:], "sentences": [{"raw": c} for c in both]} for f, both in FILES]}), "JSON"),
        ("a.json", json.dumps({
            "info": {}, "images": [{"id": 9 - n, "file_name": f} for n, (f, _) in enumerate(FILES)],
            "annotations": [{"id": n, "image_id": 9 - n, "caption": c[k]} for k in (0, 1) for n, (_, c) in enumerate(FILES)],
        }), "COCO captions"),
    ],
)  # fmt: skip
def test_json_in_every_usual_form(tmp_path, images, name, content, form):
    (tmp_path / name).write_text(content)
    corpus = built(tmp_path, tmp_path / name)
    assert read(corpus) == [(image, captions) for image, (_, captions) in zip(images, FILES, strict=True)]
    assert corpus.manifest["reading"]["format"] == form


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", '{"image": "x", "caption": "y"}\n{"image": ', r"a\.jsonl: line 2: is no JSON: .*; mend that line"),
        ("a.jsonl", "[1]\n", r"a\.jsonl: line 1: is list and no record"),
        (
            "a.json",
            '{"image": "x"}\n{"image": "y"}',
            r"a\.json: line 2: is no JSON: Extra data \(one record a line\? then name it \.jsonl\)",
        ),
        ("a.json", '{"a": [1], "b": [2]}', "holds 'a', 'b', and 2 of them are lists of records; write one list"),
        ("a.json", '{"images": [], "annotations": [{"image_id": 7, "caption": "c"}]}', "annotations, entry 0: there is no image 7"),
        (
            "a.json",
            '{"images": [{"id": 1}], "annotations": []}',
            "is no COCO captions file: its images or annotations are not COCO's .'file_name'.",
        ),
        ("a.json", "[]", "holds no record"),
    ],
)
def test_a_broken_json_names_its_place(tmp_path, name, content, sentence):
    (tmp_path / name).write_text(content)
    with pytest.raises(HelipError, match=sentence):
        built(tmp_path, tmp_path / name)


@pytest.mark.parametrize("values", [["a", []], ["a", None], ["a", 7], [["a", None], ["b", 7]], [["a"], []], [["a"], None], [["a"], [None]]])
def test_a_mapping_of_json_loses_what_lacks_a_caption(tmp_path, images, values):
    """As the same data as lines of JSON do."""
    pairs = [(f"images/{i}.jpg", value) for i, value in enumerate(values)]
    (tmp_path / "a.json").write_text(json.dumps(dict(pairs)))
    (tmp_path / "b.jsonl").write_text("\n".join(json.dumps({"image": image, "caption": value}) for image, value in pairs))
    one, other = (build_corpus(detect(str(tmp_path / n), {"max_quarantined": 0.9}), tmp_path / n[0]) for n in ("a.json", "b.jsonl"))
    assert read(one) == read(other) and one.captions(0) == ["a"]
    assert one.manifest["quarantined"] == other.manifest["quarantined"] != {}


@pytest.mark.parametrize("kind", ["struct", "bytes", "paths"])
def test_the_hubs_parquet(tmp_path, images, kind):
    cells = {
        "struct": [{"bytes": image, "path": f"{i}.jpg"} for i, image in enumerate(images)],
        "bytes": images,
        "paths": [f"images/{i}.jpg" for i in range(3)],
    }[kind]
    place = tmp_path / "data"
    place.mkdir()
    for part, ids in (("train-00000-of-00002", [0, 1]), ("train-00001-of-00002", [2])):
        columns = {"image": [cells[i] for i in ids], "caption": [[CAPTIONS[i], f"again {i}"] for i in ids], "split": ["train"] * len(ids)}
        pq.write_table(pa.table(columns), place / f"{part}.parquet")
    given = {"image_root": str(tmp_path)} if kind == "paths" else {}
    corpus = built(tmp_path, place, **given)
    assert read(corpus) == [(images[i], [CAPTIONS[i], f"again {i}"]) for i in range(3)]
    assert corpus.manifest["reading"]["format"] == ("parquet with paths" if kind == "paths" else "parquet with images")


def test_rows_that_name_one_image_in_the_hubs_struct_are_one(tmp_path, images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = [{"bytes": None, "path": f"images/{i}.jpg"} for i in range(3) for _ in range(2)]
    (tmp_path / "lists").mkdir()
    pq.write_table(pa.table({"image": cells, "caption": [f"caption {n}" for n in range(6)]}), tmp_path / "lists" / "t.parquet")
    declared = corpus_of("lists/t.parquet", {})
    assert declared["image_root"] == str(tmp_path)
    assert amount_of(declared) == Amount(images=3, captions=2.0)
    monkeypatch.chdir("/")
    corpus = build_corpus(TableCorpus.model_validate(declared), tmp_path / "corpus")
    assert read(corpus) == [(images[i], [f"caption {2 * i}", f"caption {2 * i + 1}"]) for i in range(3)]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(4), pa.dictionary(pa.int32(), pa.binary())])
def test_images_are_bytes_whatever_their_type(tmp_path, images, kind):
    data = pa.array(images if kind != pa.binary(4) else [b"aaaa", b"bbbb", b"cccc"])
    table = pa.table({"image": data.dictionary_encode() if pa.types.is_dictionary(kind) else data.cast(kind), "caption": CAPTIONS})
    pq.write_table(table, tmp_path / "t.parquet")
    assert count_images(TableCorpus(path=str(tmp_path / "t.parquet"))) == (3, 3)
    if kind != pa.binary(4):
        assert read(built(tmp_path, tmp_path / "t.parquet")) == [(image, [c]) for image, c in zip(images, CAPTIONS, strict=True)]


# ---------------------------------------------------------------- shards


def test_captions_that_are_only_in_json_are_found(tmp_path):
    files = [
        f for i in range(3) for f in ((f"{i}.jpg", noisy(seed=i)), (f"{i}.json", json.dumps({"url": "u", "caption": f"c{i}"}).encode()))
    ]
    tar_of(tmp_path / "in" / "0.tar", files)
    assert detect(str(tmp_path / "in")) == ShardCorpus(path=str(tmp_path / "in"), captions="json.caption")
    assert [c for _, c in read(built(tmp_path, tmp_path / "in"))] == [["c0"], ["c1"], ["c2"]]


def test_captions_in_json_that_nobody_declared_are_hinted_at(tmp_path):
    tar_of(tmp_path / "in" / "0.tar", [("a.jpg", noisy()), ("a.json", b'{"caption": "c"}')])
    with pytest.raises(HelipError, match=r"1 no caption.*in key\.json, say captions: json\.NAME, or json\.OUTER\.NAME \(--captions\)"):
        build_corpus(ShardCorpus(path=str(tmp_path / "in")), tmp_path / "corpus")


def test_lines_of_a_txt_are_captions_where_most_have_several(tmp_path):
    tar_of(tmp_path / "in" / "0.tar", [("a.jpg", noisy()), ("a.txt", b"one\ntwo\nthree\nfour\nfive\n")])
    assert [c for _, c in read(built(tmp_path, tmp_path / "in"))] == [["one", "two", "three", "four", "five"]]


def test_names_with_dots_are_samples_of_their_own(tmp_path):
    """WebDataset ends a key at the first dot; what lies beside a whole sample, such as a mask, stays no sample."""
    files = [("a.b.jpg", noisy()), ("a.b.txt", b"first"), ("a.c.jpg", noisy(seed=1)), ("a.c.txt", b"second"),
             ("d.jpg", noisy(seed=2)), ("d.mask.png", noisy("PNG")), ("d.txt", b"third"), ("e.f.jpg", noisy(seed=3))]  # fmt: skip
    corpus = indexed(tmp_path, files)
    assert [(corpus.key(i), corpus.caption(i)) for i in range(len(corpus))] == [("a.b", "first"), ("a.c", "second"), ("d", "third")]
    assert [corpus.image_bytes(i) for i in range(3)] == [noisy(seed=i) for i in range(3)]
    assert corpus.manifest["quarantined"] == {"no image": 1}


@pytest.fixture
def shards(tmp_path):
    for i in range(4):
        tar_of(tmp_path / "in" / f"x-{i:04d}.tar", pairs(1, i))
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("path", "numbers"),
    [
        ("x-{0000..0003}.tar", [0, 1, 2, 3]),
        ("x-000{0,2}.tar", [0, 2]),
        ("x-*[13].tar", [1, 3]),
        ("x-0003.tar::IN/x-0001.tar", [3, 1]),
        ("x-{0000..0001}.tar::IN/x-0003.tar", [0, 1, 3]),
    ],
)
def test_brace_lists_globs_and_several_paths(tmp_path, shards, path, numbers):
    corpus = built(tmp_path, f"{shards}/{path.replace('IN', str(shards))}")
    assert [corpus.caption(i) for i in range(len(corpus))] == [f"caption {n}" for n in numbers]


def test_what_of_a_brace_list_is_missing_is_named(shards):
    with pytest.raises(HelipError, match=r"x-0004\.tar: is not there \(6 of the 10 that '.*x-\{0000\.\.0009\}\.tar' names are missing\)"):
        detect(f"{shards}/x-{{0000..0009}}.tar")


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("pipe:curl -s http://x/0.tar", "a command within a path is never run"),
        ("s3://bucket/x-{0000..0009}.tar", "copy it to a disk of this machine first"),
        ("https://x/0.tar", "fetch it first and name the file, or declare a corpus of kind `downloaded`"),
        ("here.tar::gs://bucket/0.tar", "copy it to a disk of this machine first"),
    ],
)
def test_what_is_no_path_is_refused_with_the_remedy(tmp_path, path, remedy, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tar_of(tmp_path / "here.tar", pairs(1))
    assert main(["corpus", "--data", path, "--out", "out"]) == 2
    assert f"{path.rpartition('::')[2]}: is no path of this machine; {remedy}" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["here.tar"]


def test_a_cut_shard_costs_its_tail_and_is_named(tmp_path):
    for i in range(10):
        tar_of(tmp_path / "in" / f"{i}.tar", pairs(4, 4 * i))
    cut = tmp_path / "in" / "3.tar"
    start = cut.read_bytes().index(b"00013.txt")
    cut.write_bytes(cut.read_bytes()[: start + 100])  # within the header of the second sample's caption
    corpus = built(tmp_path, tmp_path / "in", max_quarantined=0.2)
    assert [corpus.caption(i) for i in range(len(corpus))] == [f"caption {i}" for i in range(40) if i not in (13, 14, 15)]
    assert corpus.manifest["quarantined"] == {"cut shard": 1, "no caption": 1}
    assert f"3.tar,,cut shard,{cut}: not a whole tar archive" in (tmp_path / "corpus" / "quarantine.csv").read_text()
    with pytest.raises(HelipError, match=r"1 of 10 shards are cut, a share of 0\.1000 over max_quarantined 0\.05.*3\.tar: not a whole tar"):
        build_corpus(detect(str(tmp_path / "in")), tmp_path / "other")


def test_every_form_of_the_same_pairs_has_the_same_digest(tmp_path, images):
    for i, caption in enumerate(CAPTIONS):
        (tmp_path / "images" / f"{i}.txt").write_text(caption)
    files = [f for i, c in enumerate(CAPTIONS) for f in ((f"{i}.jpg", images[i]), (f"{i}.txt", c.encode()))]
    tar_of(tmp_path / "in" / "0.tar", files)
    (tmp_path / "t.tsv").write_text("path\ttext\n" + "".join(f"images/{i}.jpg\t{c}\n" for i, c in enumerate(CAPTIONS)))
    pq.write_table(pa.table({"image": images, "caption": CAPTIONS}), tmp_path / "t.parquet")
    forms = ("in", "images", "t.tsv", "t.parquet")
    assert len({build_corpus(detect(str(tmp_path / form)), tmp_path / f"corpus {form}").digest for form in forms}) == 1


# ---------------------------------------------------------------- the command


def test_the_command_says_what_it_found_and_left_out(tmp_path, images, capsys):
    rows = ["0.jpg;one", "0.jpg;other", "1.jpg;one", "gone.jpg;two", "2.jpg;nan"]
    (tmp_path / "t.csv").write_text("\n".join(["image;title", *(f"images/{row}" for row in rows)]))
    (tmp_path / "images" / "1.jpg").write_bytes(images[0])
    assert main(["corpus", "--data", str(tmp_path / "t.csv"), "--out", str(tmp_path / "c"), "--max-quarantined", "0.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path}/t.csv: a table (kind: table)"
    assert lines[1] == f"read as: caption column title, format text table, image column image, image root {tmp_path}, separator ';'"
    assert lines[2] == "captions: 3, several to an image; a training draws one each time"
    gone = f"(line 5 {tmp_path}/images/gone.jpg: No such file or directory); all in {tmp_path}/c/quarantine.csv"
    assert f"left out: 1 image file cannot be read {gone}" in lines
    assert f"left out: 1 caption is a missing value (line 6 {tmp_path}/images/2.jpg: 'nan'); all in {tmp_path}/c/quarantine.csv" in lines
    assert "equal images: 1 pairs have the images of an earlier one, byte for byte" in lines


def test_an_unquoted_glob_names_all_its_files(shards, tmp_path):
    assert main(["corpus", "--data", *map(str, sorted(shards.glob("*.tar"))), "--out", str(tmp_path / "c")]) == 0
    assert len(Corpus.open(tmp_path / "c")) == 4


def test_mixed_or_unknown_data_are_refused(tmp_path, images):
    (tmp_path / "t.csv").write_text("image,caption\n")
    (tmp_path / "u.csv").write_text("image,caption\n")
    with pytest.raises(HelipError, match=r"and of no one kind that is read; name \.tar shards"):
        detect(f"{tmp_path}/t.csv::{tmp_path}/images/0.jpg")
    with pytest.raises(
        HelipError, match=r"holds several tables \(t\.csv, u\.csv\) and no image with a caption beside it; name the one to read"
    ):
        detect(str(tmp_path))
    with pytest.raises(HelipError, match=r"names 2 files, and only parquet files are read as one table"):
        built(tmp_path, f"{tmp_path}/t.csv::{tmp_path}/u.csv")
    assert detect(str(tmp_path / "t.csv")) == TableCorpus(path=str(tmp_path / "t.csv"))


# ---------------------------------------------------------------- equal pairs


def test_equal_images_and_captions_are_grouped(tmp_path):
    """Images 0 1 0 2 1, captions a a b a b."""
    files = [f for n, (seed, text) in enumerate(zip((0, 1, 0, 2, 1), "aabab", strict=True))
             for f in ((f"{n}.jpg", noisy(seed=seed)), (f"{n}.txt", text.encode()))]  # fmt: skip
    corpus = indexed(tmp_path, files)
    for _ in ("as indexed", "made again for a corpus of an earlier version"):
        assert corpus.image_groups().tolist() == [0, 1, 0, 3, 1]
        assert corpus.caption_groups().tolist() == [0, 0, 2, 0, 2]
        assert corpus.image_groups().dtype == np.int64
        (corpus.folder / "hashes.npy").unlink()
    assert (corpus.manifest["equal_images"], corpus.manifest["equal_captions"]) == (2, 3)
    corpus.image_groups()
    np.save(corpus.folder / "hashes.npy", np.zeros((2, 2), np.uint64))
    with pytest.raises(HelipError, match=r"hashes\.npy: is not of this corpus; delete it: it is made again"):
        corpus.image_groups()
