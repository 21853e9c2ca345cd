"""for_each in YAML files: what it stands for, and what is refused."""

import pytest

from helip.config.reading import read_yaml
from helip.errors import HelipError


def read(folder, text, kind=dict):
    (folder / "runs.yaml").write_text(text)
    return read_yaml(folder / "runs.yaml", kind)


def test_in_a_mapping_its_entries_join_the_others(tmp_path):
    text = 'a: {n: 1}\nfor_each:\n  - of: [{x: a, y: "2"}, {x: b, y: "3"}]\n    have: {"{x}_{y}": {base: "{x}", keys: ["{y}", 0.5]}}\n'
    assert read(tmp_path, text) == {"a": {"n": 1}, "a_2": {"base": "a", "keys": ["2", 0.5]}, "b_3": {"base": "b", "keys": ["3", 0.5]}}


def test_in_a_list_its_rows_stand_where_it_stood(tmp_path):
    text = '- before\n- for_each:\n    of: [{x: a}, {x: b}]\n    have: ["{x}1", {row: "{x}2"}]\n- after\n'
    assert read(tmp_path, text, list) == ["before", "a1", {"row": "a2"}, "b1", {"row": "b2"}, "after"]


def test_blocks_within_blocks(tmp_path):
    text = 'for_each:\n  - of: [{x: a}, {x: b}]\n    have:\n      for_each:\n        - {of: [{y: c}, {y: d}], have: {"{x}{y}": "{y}{x}"}}\n'
    assert read(tmp_path, text) == {"ac": "ca", "ad": "da", "bc": "cb", "bd": "db"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nfor_each: [{of: [{x: a}], have: {'{x}': 2}}]", "'a' is given twice, once by for_each"),
        ("for_each: [{of: [{x: a}], have: {b: 1}}, {of: [{x: a}], have: {b: 2}}]", "'b' is given twice, once by for_each"),
        ("for_each: [{of: [{x: a}], have: ['{x}']}]", "for_each: have is a list here"),
        ("rows: [{for_each: {of: [{x: a}], have: {b: 1}}}]", "rows: for_each: stands alone in a list, and its have is a list"),
        ("rows: [{for_each: {of: [{x: a}], have: []}, more: 1}]", "rows: for_each: stands alone in a list"),
        ("for_each: [{of: [{x: a}], have: {'{x}_{y}': 1}}]", "for_each: no item of `of` says what {y} is"),
        ("rows: [{for_each: {of: [{x: a}], have: [{n: ['{z}']}]}}]", "rows: for_each: no item of `of` says what {z} is"),
        ("for_each: [{off: [{x: a}], have: {}}]", "for_each: 0 -> of: is missing"),
        ("for_each: [{of: [{x: [a]}], have: {}}]", "for_each: 0 -> of -> 0 -> x: Input should be a valid string"),
    ],
)
def test_refused_in_one_sentence(tmp_path, text, sentence):
    with pytest.raises(HelipError, match="runs.yaml") as refused:
        read(tmp_path, text)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
