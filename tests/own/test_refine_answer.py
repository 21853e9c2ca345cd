"""The answer in plain words, and its page: every number from hits that are set by hand."""

import base64
import io
import json
import re
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from test_request import SMALL
from toys import ToyCorpus, declaration

from helip.config import FrozenModel, GeneratedCorpus
from helip.data.build import build_corpus
from helip.errors import HelipError
from helip.io import read_json, write_json
from helip.models import export as models_export
from helip.models import loading as models
from helip.models.loading import open_start
from helip.own import exports
from helip.own.files import NAME, write
from helip.own.study import Machine, Request, declare
from helip.reporting import refine
from helip.reporting.measured import Measured
from helip.reporting.refine import Change, Example, ModelRow, page_of, terminal, write_answer
from helip.stages import metrics_file
from helip.study import Study

ITEMS = 200
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage", "--virtual-time-budget=20000"]
RIGHT = {  # run -> test items that it has right, in both directions; all are right about the first ones
    "start": range(80),
    "control": range(80),
    "selected": range(120),  # 40 more
    "helip": range(10, 60),  # 30 fewer: none won
    "control_mixed": range(80),
    "selected_mixed": range(121),
    "helip_mixed": range(80),
}


def of_hits(hits, together=1) -> dict:
    return {"bits": base64.b64encode(np.packbits(hits).tobytes()).decode(), "length": len(hits), "together": together}


def packed(right) -> dict:
    hits = np.zeros(ITEMS, bool)
    hits[list(right)] = True
    return of_hits(hits)


def put(study, run, set_name, right, seed="0") -> None:
    names = ("image_recall_at_1", "text_recall_at_1")
    content = {"run": run, "seed": seed, "set": set_name, "task": "retrieval", "n": ITEMS}
    content |= {"metrics": {name: 100 * len(right) / ITEMS for name in names}, "per_item": {name: packed(right) for name in names}}
    write_json(metrics_file(study, run, seed, set_name, "retrieval"), content)


def picture() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (112, 80), (90, 120, 200)).save(buffer, "JPEG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture(scope="module")
def study(tmp_path_factory, project):
    folder = tmp_path_factory.mktemp("answer")
    build_corpus(GeneratedCorpus(size=60, samples_per_shard=30), folder / "corpus")
    request = Request(model="local-dir:/my/start", data=str(folder / "corpus" / "shards"), arms=("selected", "helip"))
    write(folder, declare(request, SMALL, Machine(1, 0)), project)
    study = Study(NAME, folder / "experiments", folder / "results")
    for run, right in RIGHT.items():
        put(study, run, "test", right)
        put(study, run, "validation", right)
    write_json(study.root / "corpora/train/manifest.json", {"size": 1000, "held_out": {"validation": 200, "test": ITEMS}})
    write_json(study.root / "corpora/whole/manifest.json", {"size": 1400, "quarantined": {"no caption": 3}})
    for arm, best in (("control", 0.5), ("selected", 0.75), ("helip", 0.25)):
        scores = {"0.25": 40.0, "0.5": 41.0, "0.75": 60.5, "1": 40.0}
        write_json(study.root / f"sweeps/{arm}_mixed/seed0/sweep.json", {"scores": scores, "best": best})
    return study


@pytest.fixture(scope="module")
def page(study):
    with pytest.MonkeyPatch.context() as patch:
        hard = Example(picture(), "a dog", "0001", other=Example(picture(), "a dog that runs along a remarkably long beach", "0002", 0.9))
        patch.setattr(refine, "hard_examples", lambda study: [hard] * 50)
        patch.setattr(refine, "lowest_examples", lambda study: [Example(picture(), "a cat <b>", "0003", -1.5)] * 50)
        write_answer(study, study.root / "answer")
        return page_of(study)


def test_each_arm_has_its_sentence(page):
    control, selected, hard, best, forgotten = page.sentences
    assert control == "Continued training on your pairs: R@1 40.0 -> 40.0; no test pair changed, which says nothing."
    assert re.fullmatch(r"Selection helps: R@1 40\.0 -> 60\.0 \(\+20\.0 \[\+1[3-6]\.\d, \+2[3-6]\.\d\]\)\.", selected)
    assert re.fullmatch(r"Hard pairs hurt: R@1 40\.0 -> 25\.0 \(−15\.0 \[−\d+\.\d, −\d+\.\d\]\)\.", hard)
    assert best.startswith("Best on validation: selected, mixed with the start (weight 0.75). On the test pairs it is at R@1 60.5, +20.5 [")
    assert forgotten == "Forgotten: of 160 held-out queries that the start answers rightly, 0 (0 %) are lost; 82 others are won."


def test_the_interval_is_that_of_the_items(page):
    """40 of 200 items won: the mean of 0 and 1 has a standard error of sqrt(0.2 x 0.8 / 200) = 2.83 points."""
    change = next(row for row in page.rows if row.run == "selected").over_control
    assert change.value == pytest.approx(20)
    assert change.high - change.low == pytest.approx(2 * 1.96 * 2.83, rel=0.1)


def test_what_was_forgotten_is_counted_by_hand(page):
    rows = {row.label: (row.right, row.lost, row.won) for row in page.forgotten}
    assert rows["helip"] == (160, 60, 0)  # 10 at the head and 20 at the tail, in both directions
    assert rows["selected"] == (160, 0, 80)
    assert rows["continued training (control)"] == (160, 0, 0)


def test_what_several_trainings_lost_is_their_mean(study, project, tmp_path):
    """Of the start's first 80 of 200, three trainings have 75, 70 and 60, and 3, 6 and 9 others: 11.67 lost and 6 won, both ways."""
    request = Request(model="local-dir:/my/start", data=str(study.root.parents[1] / "corpus/shards"), arms=("control",), seeds=3)
    write(tmp_path, declare(request, SMALL, Machine(1, 0)), project)
    several = Study(NAME, tmp_path / "experiments", tmp_path / "results")
    put(several, "start", "test", range(80), several.run("start").seeds[0])
    seeds = several.run("control").seeds
    for run in ("control", "control_mixed"):
        for seed, lost, won in zip(seeds, (5, 10, 20), (3, 6, 9), strict=True):
            put(several, run, "test", [*range(80 - lost), *range(100, 100 + won)], seed)
    row = refine._forgotten(several, Measured(several, []))[0]
    assert (row.right, row.lost, row.won) == pytest.approx((160, 2 * 35 / 3, 12))


def test_captions_of_an_image_are_queries_each(study, project, tmp_path):
    """Two images of three captions and of one. The start has the first two right, the model the last two: one query is lost and one won,
    though the first image has as many right as before."""
    request = Request(model="local-dir:/my/start", data=str(study.root.parents[1] / "corpus/shards"), arms=("control",))
    write(tmp_path, declare(request, SMALL, Machine(1, 0)), project)
    one = Study(NAME, tmp_path / "experiments", tmp_path / "results")
    for run, to_image in (("start", [1, 1, 0, 0]), ("control", [0, 1, 1, 0]), ("control_mixed", [0, 1, 1, 0])):
        hits = {"image_recall_at_1": (to_image, [3, 1]), "text_recall_at_1": ([1, 1], 1)}
        content = {"run": run, "seed": "0", "set": "test", "task": "retrieval", "n": 2}
        content |= {"metrics": {name: 100 * sum(bits) / len(bits) for name, (bits, _) in hits.items()}}
        content |= {"per_item": {name: of_hits(np.array(bits, bool), together) for name, (bits, together) in hits.items()}}
        write_json(metrics_file(one, run, "0", "test", "retrieval"), content)
    measured = Measured(one, [])
    row = refine._forgotten(one, measured)[0]
    assert (row.right, row.lost, row.won) == (4, 1, 1)
    change = refine.change(measured, "control", "start", refine.columns_of(one, "test"))
    assert change.value == 0 and not change.is_informative  # image by image, nothing changed
    assert (change.text, change.over("the start")) == ("same on every image", "same on every image as the start")
    assert Change(1.0, 0.5, 1.5).over("the start") == "+1.0 [+0.5, +1.5] over the start"


def test_a_named_set_has_a_row_and_a_sentence(study, project, tmp_path):
    """Of 200 images the start has 80 right and the best model 60 of these: 10 points fewer, in every item that moved."""
    (tmp_path / "Signs" / "test").mkdir(parents=True)
    data, named = str(study.root.parents[1] / "corpus/shards"), (str(tmp_path / "Signs"),)
    request = Request(model="local-dir:/my/start", data=data, arms=("control",), evaluate=named)
    write(tmp_path, declare(request, SMALL, Machine(1, 0)), project)
    one = Study(NAME, tmp_path / "experiments", tmp_path / "results")
    for run, right in (("start", 80), ("control", 60), ("control_mixed", 80)):
        put(one, run, "test", range(80))
        content = {"run": run, "seed": "0", "set": "signs", "task": "zeroshot", "n": ITEMS}
        content |= {"metrics": {"acc1": 100 * right / ITEMS}, "per_item": {"acc1": packed(range(right))}}
        write_json(metrics_file(one, run, "0", "signs", "zeroshot"), content)
    measured = Measured(one, [])
    [row] = refine._sets(one, measured)
    moved = {label: change and round(change.value, 6) for label, _, change in row.values}
    assert (row.name, row.metric) == ("signs", "zero-shot accuracy")
    assert moved == {"start": None, "continued training (control)": -10, "control, mixed with the start": 0}
    best = ModelRow("control", "continued training (control)", 1, 40.0, 40.0, 40.0, None, None)
    assert refine._lost(one, measured, best)[-1].startswith("On signs (zero-shot accuracy) it is at 30.0: −10.0 [−1")


def test_the_best_is_chosen_on_validation(study, page):
    assert page.best.run == "selected_mixed" and page.model == "models/selected_mixed/seed0"
    assert read_json(study.root / "answer/answer.json")["best"]["model"] == "models/selected_mixed/seed0"


def test_the_sweep_and_the_terminal_show_every_model(page):
    sweep = next(row for row in page.sweeps if row.label == "selected")
    assert dict(sweep.scores)["0.75"] == 60.5 and sweep.best == (0.75,)
    lines = terminal(page).splitlines()
    assert next(line for line in lines if line.startswith("selected  ")).split()[1:5] == ["60.0", "60.0", "60.0", "+20.0"]


def test_three_trainings_widen_the_interval(study, project, tmp_path):
    """Gains of 5, 20 and 35 points: the mean is that of one training of 20, and the trainings' scatter is in the interval."""
    request = Request(model="local-dir:/my/start", data=str(study.root.parents[1] / "corpus/shards"), arms=("selected",), seeds=3)
    write(tmp_path, declare(request, SMALL, Machine(1, 0)), project)
    three = Study(NAME, tmp_path / "experiments", tmp_path / "results")
    put(three, "start", "test", range(80))
    for seed, won in (("0r0", 10), ("0r1", 40), ("0r2", 70)):
        put(three, "control", "test", range(80), seed)
        put(three, "selected", "test", range(80 + won), seed)
    change = refine.change(Measured(three, []), "selected", "control", refine.columns_of(three, "test"))
    assert change.value == pytest.approx(20)
    assert change.verdict == "no difference shown"  # t with two degrees of freedom: 20 +- 4.3 x 15 / sqrt(3)
    assert change.high - change.low == pytest.approx(2 * 4.303 * (15**2 / 3 + 2.83**2) ** 0.5, rel=0.15)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 2.0, "helps"), (-2.0, -0.1, "hurts"), (-0.1, 2.0, "no difference shown"), (0.0, 0.0, "no difference shown")],
)  # fmt: skip
def test_a_verdict_is_where_the_interval_lies(low, high, verdict):
    assert Change((low + high) / 2, low, high).verdict == verdict


def test_nothing_better_than_the_start_is_said_so(study):
    put(study, "start", "validation", range(150))
    assert page_of_models(study).sentences[-1] == "Nothing beat the start on validation: keep the start."
    put(study, "start", "validation", RIGHT["start"])


def page_of_models(study):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refine, "hard_examples", lambda study: [])
        patch.setattr(refine, "lowest_examples", lambda study: [])
        return page_of(study)


# ---------------------------------------------------------------- the page in a browser


def test_the_page_escapes_captions_and_needs_nothing_else(study, page):
    html = (study.root / "answer/report.html").read_text()
    assert "a cat &lt;b&gt;" in html and "a cat <b>" not in html
    assert {link.split(";")[0] for link in re.findall(r'(?:src|href)="([^"]{1,40})', html)} == {"data:image/jpeg"}


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_fits_a_phone_and_a_desk(study, page, tmp_path, width):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    probe = """<script>addEventListener("load", () => { const images = [...document.images];
      parent.postMessage([images.length, images.filter(i => i.complete && i.naturalWidth == 112).length,
        document.documentElement.scrollWidth - innerWidth, innerWidth, 
        document.querySelectorAll("ul.answer li").length].join(" "), "*"); });
      </script></body>"""
    html = (study.root / "answer/report.html").read_text()
    (tmp_path / "report.html").write_text(html.replace("</body>", probe))
    frame = tmp_path / "frame.html"  # chromium's own windows are at least 500 pixels wide
    frame.write_text(
        f'<body><iframe src="report.html" width="{width}" height="900" style="border:0"></iframe>'
        '<script>addEventListener("message", e => { document.body.dataset.seen = e.data; });</script></body>'
    )
    command = [browser, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", "--allow-file-access-from-files", frame.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout
    count, loaded, overflow, inner, sentences = map(int, re.search(r'data-seen="(\d+) (\d+) (-?\d+) (\d+) (\d+)"', shown).groups())
    assert (inner, count, loaded, sentences) == (width, 150, 150, 5)
    assert overflow <= 0  # tables scroll inside their frames; the page itself does not


def test_a_form_that_no_model_can_have_is_refused_first(study, monkeypatch):
    exports.check(study, ("open_clip", "transformers"))
    monkeypatch.setattr(exports, "find_spec", lambda name: None)
    with pytest.raises(HelipError, match="--export: format onnx needs the package onnx: pip install"):
        exports.check(study, ("open_clip", "onnx"))
    heads = SimpleNamespace(model=lambda name: FrozenModel(image_trunk="a", text_trunk="b"))
    with pytest.raises(HelipError, match="--export: heads on frozen trunks .* leave it out"):
        exports.check(heads, ("open_clip",))
    exports.check(heads, ())


def test_the_best_model_is_exported_with_a_card_of_the_answer(study, page, tmp_path, monkeypatch):
    model = study.root / page.model
    clip = models.new(declaration(), ToyCorpus(), tmp_path / "tokenizer", 0)
    monkeypatch.setattr(exports, "read_json", lambda path: json.loads(json.dumps(refine._numbers(page))))
    models_export.export(model, clip, clip.model.state_dict(), lambda path: path.write_text("step,loss\n"), {})
    request = Request(model="hf-hub:org/start", data="photos", arms=("selected", "helip"))
    recipe = study.runs["control"].recipe
    folder, forms = tmp_path / "mine/exports", ("transformers", "open_clip")
    assert exports.export(tmp_path / "mine", study, request, forms) == [f"{folder / form}: the model for {form}" for form in forms]
    card, other = ((folder / form / "README.md").read_text() for form in forms)
    assert "library_name: transformers" in card and "library_name: open_clip" in other and "import open_clip" not in card
    assert sorted(p.name for p in folder.iterdir()) == ["import.json", "open_clip", "transformers"]
    assert f"# mine\n\n{page.sentences[0]}\n\n{page.sentences[1]}" in card and "base_model: org/start" in card
    assert "- pairs trained on: 1,000" in card and "- samples that could not be used: 3 no caption" in card
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in card.splitlines() if "held-out test pairs" in line}
    gain = page.rows[[row.run for row in page.rows].index("selected")].over_start
    assert rows["selected"].split(" | ")[3:] == ["60.00", f"**{gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]** |"]
    assert rows["start"].endswith("| 40.00 |  |")
    local = exports.facts("mine", exports.read_json(None), Request(model="local-dir:/my/own/start", data="d", arms=()), recipe, "onnx")
    assert local.start == "start" and "/my/own" not in card
    opened = open_start(folder / "transformers").model.state_dict()
    assert torch.equal(opened["text_projection"], clip.model.state_dict()["text_projection"])
