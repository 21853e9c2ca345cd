"""matrix in YAML files: what it stands for, and what is refused."""

import pytest

from helip.config.reading import read_yaml
from helip.errors import HelipError


def read(folder, text, kind=dict):
    (folder / "runs.yaml").write_text(text)
    return read_yaml(folder / "runs.yaml", kind)


def test_in_a_mapping_its_entries_join_the_others(tmp_path):
    text = 'a: {n: 1}\nmatrix:\n  - over: [{x: a, y: "2"}, {x: b, y: "3"}]\n    entries: {"{x}_{y}": {base: "{x}", keys: ["{y}", 0.5]}}\n'
    assert read(tmp_path, text) == {"a": {"n": 1}, "a_2": {"base": "a", "keys": ["2", 0.5]}, "b_3": {"base": "b", "keys": ["3", 0.5]}}


def test_in_a_list_its_rows_stand_where_it_stood(tmp_path):
    text = '- before\n- matrix:\n    over: [{x: a}, {x: b}]\n    entries: ["{x}1", {row: "{x}2"}]\n- after\n'
    assert read(tmp_path, text, list) == ["before", "a1", {"row": "a2"}, "b1", {"row": "b2"}, "after"]


def test_entries_keep_their_order(tmp_path):
    text = "b: 1\nmatrix:\n  - {over: [{x: d}, {x: c}], entries: {'{x}': 2}}\n  - entries: {z: 3}\na: 5\n"
    assert list(read(tmp_path, text).items()) == [("b", 1), ("d", 2), ("c", 2), ("z", 3), ("a", 5)]


def test_blocks_within_blocks(tmp_path):
    text = 'matrix:\n- over: [{x: a}, {x: b}]\n  entries:\n    matrix:\n    - {over: [{y: c}, {y: d}], entries: {"{x}{y}": "{y}{x}"}}\n'
    assert read(tmp_path, text) == {"ac": "ca", "ad": "da", "bc": "cb", "bd": "db"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nmatrix: [{over: [{x: a}], entries: {'{x}': 2}}]", "'a' is given twice, once by matrix"),
        ("matrix: [{over: [{x: a}], entries: {b: 1}}, {over: [{x: a}], entries: {b: 2}}]", "'b' is given twice, once by matrix"),
        ("matrix: [{over: [{x: a}], entries: ['{x}']}]", "matrix: entries is a list here"),
        ("rows: [{matrix: {over: [{x: a}], entries: {b: 1}}}]", "rows: matrix: stands alone in a list, and its entries are a list"),
        ("rows: [{matrix: {over: [{x: a}], entries: []}, more: 1}]", "rows: matrix: stands alone in a list"),
        ("matrix: [{over: [{x: a}], entries: {'{x}_{y}': 1}}]", "matrix: no item of `over` says what {y} is"),
        ("rows: [{matrix: {over: [{x: a}], entries: [{n: ['{z}']}]}}]", "rows: matrix: no item of `over` says what {z} is"),
        ("matrix: [{ovr: [{x: a}], entries: {}}]", "matrix: 0 -> ovr: unknown key"),
        ("matrix: [{over: [{x: a}]}]", "matrix: 0 -> entries: is missing"),
        ("matrix: [{over: [{x: a}], entries: {'{x}': 2}}]\na: 1", "'a' is given twice, once by matrix"),
        ("for_each: [{of: [{x: a}], have: {'{x}': 2}}]", "runs.yaml: for_each is now called matrix"),
        ("rows: [{for_each: {of: [{x: a}], have: []}}]", "rows: for_each is now called matrix"),
        ("matrix: [{over: [{x: [a]}], entries: {}}]", "matrix: 0 -> over -> 0 -> x: Input should be a valid string"),
    ],
)
def test_refused_in_one_sentence(tmp_path, text, sentence):
    with pytest.raises(HelipError, match="runs.yaml") as refused:
        read(tmp_path, text)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
