"""Published tables of addresses: every format, dirty rows, and samples that are the same on every machine."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helip.config import DownloadedCorpus
from helip.download.tables import count_rows, write_addresses
from helip.errors import HelipError


def written(declaration, table, tmp_path) -> tuple[dict, list[dict]]:
    counts = write_addresses(declaration, table, tmp_path / "out.parquet")
    return counts, pq.read_table(tmp_path / "out.parquet").to_pylist()


def test_a_tsv_without_header_keeps_quotes_as_they_are(tmp_path):
    table = tmp_path / "Train.tsv"
    table.write_bytes('a "large dog\thttp://x/1\nné\thttp://x/2\n'.encode() + b"caf\xe9\thttp://x/3\n")
    counts, rows = written(DownloadedCorpus(table="t", header=("caption", "url")), table, tmp_path)
    assert rows == [{"url": "http://x/1", "caption": 'a "large dog'}, {"url": "http://x/2", "caption": "né"}]
    assert counts == {"rows": 3, "unusable_rows": 1, "duplicate_addresses": 0}


def test_a_csv_with_header_and_hashes(tmp_path):
    table = tmp_path / "list.csv"
    table.write_text('id,URL,TEXT,md5\n1,http://x/1,"one, ""two""",aa\n2,http://x/1,"a\nb",bb\n3,,nowhere,cc\n')
    declaration = DownloadedCorpus(table="t", url_column="URL", caption_column="TEXT", hash_column="md5", hash="md5")
    counts, rows = written(declaration, table, tmp_path)
    assert rows == [{"url": "http://x/1", "caption": 'one, "two"', "md5": "aa"}, {"url": "http://x/1", "caption": "a\nb", "md5": "bb"}]
    assert counts == {"rows": 3, "unusable_rows": 1, "duplicate_addresses": 1}


@pytest.fixture
def folder(tmp_path):
    """1,000 rows in three parquet files."""
    place = tmp_path / "parts"
    place.mkdir()
    for i, ids in enumerate(np.array_split(np.arange(1000), 3)):
        columns = {"caption": [f"caption {n}" for n in ids], "other": list(ids), "url": [f"http://x/{n}" for n in ids]}
        pq.write_table(pa.table(columns), place / f"{i}.parquet")
    return place


def test_a_sample_is_uniform_distinct_and_fixed_by_its_seed(folder, tmp_path, monkeypatch):
    def drawn(seed: int) -> list[str]:
        counts, rows = written(DownloadedCorpus(table="t", sample=400, sample_seed=seed), folder, tmp_path)
        assert counts["rows"] == 400
        return [r["url"] for r in rows]

    one = drawn(0)
    assert len(set(one)) == 400 and one != drawn(1)
    assert 80 < sum(int(u.rpartition("/")[2]) < 250 for u in one) < 120  # 100 expected, standard deviation 6.7
    monkeypatch.setattr("helip.download.tables.ROWS", 7)
    assert drawn(0) == one
    assert count_rows(folder, DownloadedCorpus(table="t")) == 1000


@pytest.mark.parametrize(
    ("declaration", "says"),
    [
        ({"url_column": "URL"}, "has no column 'URL'; it has caption, other, url"),
        ({"sample": 1001}, "has 1000 rows, and sample asks for 1001"),
    ],
)
def test_what_the_table_does_not_have_is_reported(folder, tmp_path, declaration, says):
    with pytest.raises(HelipError, match=says):
        write_addresses(DownloadedCorpus(table="t", **declaration), folder, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_broken_or_empty_table_is_a_sentence(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(HelipError, match=r"a.parquet: not readable .*fetch it again"):
        write_addresses(DownloadedCorpus(table="t"), tmp_path / "a.parquet", tmp_path / "out.parquet")
    with pytest.raises(HelipError, match=r"a.parquet: not readable .*fetch it again"):
        write_addresses(DownloadedCorpus(table="t", sample=2), tmp_path / "a.parquet", tmp_path / "out.parquet")
    (tmp_path / "a.csv").write_text("url,caption\n,\n")
    with pytest.raises(HelipError, match="holds no address"):
        write_addresses(DownloadedCorpus(table="t"), tmp_path / "a.csv", tmp_path / "out.parquet")
    with pytest.raises(HelipError, match="there is no such table"):
        write_addresses(DownloadedCorpus(table="t"), tmp_path / "b.csv", tmp_path / "out.parquet")


def test_hash_and_hash_column_come_together():
    with pytest.raises(ValueError, match="give both or neither"):
        DownloadedCorpus(table="t", hash="md5")
