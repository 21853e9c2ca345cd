"""Studies: resolution, digests, and one sentence for every kind of wrong declaration."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helip.config import ClipObjective, GeneratedCorpus, ShardCorpus, SlipObjective, TrainConfig
from helip.errors import HelipError
from helip.io import declared, digest
from helip.stages import BuildEvaluationSet, CheckData, Encode, How, MakeTable, Mine, drawn_pairs, model_of
from helip.study import FILES_ONLY, Study, load, seed_number, start_seed

FEWER_ARMS = "miniature2", "questions"  # which ask about selection, and leave the paper's noise rule by itself to other studies


@pytest.fixture
def experiments(project, tmp_path):
    shutil.copytree(project / "experiments", tmp_path / "experiments")
    return tmp_path / "experiments"


def edit(path: Path, change) -> None:
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


def smoke(experiments: Path) -> Study:
    return Study("smoke", experiments)


@pytest.mark.parametrize("name", sorted(p.stem for p in Path(__file__).parents[2].glob("experiments/studies/*.yaml")))
def test_every_study_loads_and_has_the_arms_side_by_side(project, name):
    study = Study(name, project / "experiments")
    helip = [r for r in study.runs.values() if r.arm == "helip"]
    assert helip
    for run in helip:
        arms = {r.arm for r in study.runs.values() if r.start == run.start}
        wanted = {"control", "helip"} if name in FEWER_ARMS else {"control", "cleaned", "helip"}
        assert wanted <= arms <= {"control", "cleaned", "helip"}, f"{run.name} stands without its control or cleaned arm"


def test_loading_a_study_imports_neither_torch_nor_numpy(project):
    code = "import sys, helip.study; helip.study.load('miniature'); print([m for m in ('torch', 'numpy', 'pandas') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_run_overrides_the_studys_refinement_settings(experiments):
    edit(experiments / "paper/runs.yaml", lambda c: c["runs"]["cc3m_clip_helip"]["refine"].update(gamma=0.25))
    run = smoke(experiments).run("cc3m_clip_helip")
    assert (run.recipe.gamma, run.recipe.batch_size, run.recipe.arm) == (0.25, 64, "helip")
    assert (run.corpus, run.model, run.start) == ("cc3m", "rn50", "cc3m_clip")  # inherited from the start


def test_pairs_without_a_tau_have_a_name_that_the_rules_accept(project, experiments):
    edit(experiments / "paper/runs.yaml", lambda c: c["runs"]["cc3m_clip_helip"].update(pairs={"tau_image": None}))
    study = smoke(experiments)
    name = study.pairs_name(study.run("cc3m_clip_helip"))
    assert name == "cc3m.hpm.dino_vits8.sentence.tau_imagenone"
    (accepted,) = re.findall(r'^    pairs=r"(.*)",$', (project / "rules/common.smk").read_text(), re.MULTILINE)
    assert re.fullmatch(accepted, name)


def test_changed_expectations_of_a_set_rerun_the_data_check_only(experiments):
    declared = {"kind": "wds", "task": "classification", "path": "/x", "expected": {"items": 1}}
    edit(experiments / "studies/smoke.yaml", lambda c: c["evaluation"].update(cifar10=declared))
    before = smoke(experiments)
    edit(experiments / "studies/smoke.yaml", lambda c: c["evaluation"]["cifar10"]["expected"].update(items=2))
    after = smoke(experiments)
    assert CheckData(before).digest != CheckData(after).digest
    assert BuildEvaluationSet(before, "cifar10").digest == BuildEvaluationSet(after, "cifar10").digest


def test_an_encoder_ablation_is_one_entry(experiments):
    edit(experiments / "studies/smoke.yaml", lambda c: c["encoders"].update(tiny={"library": "simclr", "width": 4}))
    entry = {"base": "cc3m_clip_helip", "pairs": {"image_encoder": "tiny"}, "tables": {"table8": "tiny + SentenceT"}}
    edit(experiments / "studies/smoke.yaml", lambda c: c.setdefault("runs", {}).update(ablation=entry))
    study = smoke(experiments)
    assert study.pairs_name(study.run("ablation")) == "cc3m.hpm.tiny.sentence"
    assert ("CC3M", "ViT-S/8 + SentenceT", "cc3m_clip_helip") in [row[:3] for row in study.table_rows("table8")]
    assert study.table_rows("table8")[-1][1:3] == ("tiny + SentenceT", "ablation")
    assert study.run("ablation").question == ""  # the base's question is not the ablation's


def test_a_setting_changes_the_digests_of_its_dependents_only(experiments):
    before = smoke(experiments)
    edit(experiments / "studies/smoke.yaml", lambda c: c["mining"].update(k=4))
    after = smoke(experiments)
    name = "cc3m.hpm.dino_vits8.sentence"
    assert Mine(before, name).digest != Mine(after, name).digest
    for run, changes in {"cc3m_clip": False, "cc3m_clip_control": False, "cc3m_clip_cleaned": True, "cc3m_clip_helip": True}.items():
        assert (model_of(before, run, "0").digest != model_of(after, run, "0").digest) is changes, run
    assert Encode(before, "cc3m", "sentence").digest == Encode(after, "cc3m", "sentence").digest


def test_digests_ignore_labels_defaults_and_saving_cadence():
    assert digest(GeneratedCorpus(size=5, label="x")) == digest(GeneratedCorpus(size=5, mismatched=0.12))
    recipe = {"steps": 5, "batch_size": 4, "learning_rate": 0.1}
    assert digest(TrainConfig(**recipe, save_every=7)) == digest(TrainConfig(**recipe))
    assert digest(ClipObjective()) != digest(SlipObjective())
    assert declared(ShardCorpus(path="a"))["is"] == "ShardCorpus"


@pytest.mark.parametrize(
    ("name", "corpus", "known"), [("miniature", "cc3m", True), ("miniature", "open29m", True), ("paper", "open29m", False)]
)
def test_the_truth_of_a_union_of_generated_corpora_is_known(project, name, corpus, known):
    assert Study(name, project / "experiments").is_generated(corpus) == known


def test_seed_labels():
    assert (start_seed("2r1"), seed_number("2"), seed_number("2r1")) == ("2", 2, 1002)


def test_repeats_give_several_refinements_of_one_checkpoint(experiments):
    edit(experiments / "studies/smoke.yaml", lambda c: c.setdefault("runs", {}).update(cc3m_clip_helip={"repeats": 2}))
    study = smoke(experiments)
    assert study.run("cc3m_clip_helip").seeds == ("0r0", "0r1", "1r0", "1r1")
    assert model_of(study, "cc3m_clip_helip", "1r1").inputs()[1].parent.name == "seed1"
    assert model_of(study, "cc3m_clip_helip", "1r0").digest != model_of(study, "cc3m_clip_helip", "1r1").digest


def test_control_of_a_refinement_is_plain_and_of_a_control_start(project):
    study = Study("smoke", project / "experiments")
    of = study.control_of
    assert of("cc3m_clip_helip") == of("cc3m_clip_cleaned") == of("cc3m_clip_hn_nce") == "cc3m_clip_control"
    assert (of("cc3m_clip_control"), of("cc3m_clip")) == ("cc3m_clip", None)


def fast(experiments, *order) -> Study:
    """Smoke with two runs of another learning rate, in this order."""
    rate = {"learning_rate": 5e-3}
    runs = {"control_fast": {"base": "cc3m_clip_control", "refine": rate}, "helip_fast": {"base": "cc3m_clip_helip", "refine": rate}}
    return added(experiments, **{name: runs[name] for name in order})


@pytest.mark.parametrize("order", [("control_fast", "helip_fast"), ("helip_fast", "control_fast")])
def test_a_control_of_the_same_settings_is_the_reference(experiments, order):
    of = fast(experiments, *order).control_of
    assert of("helip_fast") == "control_fast" and of("control_fast") == "cc3m_clip_control"
    assert of("cc3m_clip_helip") == of("cc3m_clip_hn_nce") == "cc3m_clip_control"


def test_a_control_of_another_rate_may_stand_first(experiments):
    def first(content):
        rate = {"base": "cc3m_clip_control", "refine": {"learning_rate": 5e-3}}
        content["runs"] = {"a_control": rate, **content["runs"]}

    edit(experiments / "paper/runs.yaml", first)
    of = smoke(experiments).control_of
    assert of("cc3m_clip_helip") == of("cc3m_clip_hn_nce") == of("a_control") == "cc3m_clip_control"
    assert of("cc3m_clip_control") == "cc3m_clip"


def test_few_trained_weights_are_measured_against_as_few(project):
    of = Study("questions", project / "experiments").control_of
    assert of("foreign15_a_helip_last") == of("foreign15_a_ridge_last") == "foreign15_a_control_last"
    assert of("foreign15_b_truth_lora") == "foreign15_b_control_lora"
    assert of("foreign15_a_ridge_glofnd") == of("foreign15_a_control_last") == of("foreign15_a_control_lora") == "foreign15_a_control"


def test_a_name_of_another_study_is_no_mistake(experiments):
    (experiments / "studies/mine.yaml").write_text((experiments / "studies/smoke.yaml").read_text())
    declared = {"kind": "generated", "task": "classification", "items": 9}
    edit(experiments / "studies/mine.yaml", lambda c: c["evaluation"].update(mine=declared))
    edit(experiments / "studies/mine.yaml", lambda c: c.setdefault("runs", {}).update(my_run={"base": "cc3m_clip_control"}))
    column = {"key": "mine", "label": "Mine", "set": "mine", "metric": "zeroshot.acc1"}
    contrast = {"label": "x", "run": "my_run", "over": "cc3m_clip_control"}
    edit(experiments / "paper/tables.yaml", lambda c: c["table1"]["columns"].append(column))
    edit(experiments / "paper/tables.yaml", lambda c: c["table1"].update(contrasts=[contrast]))
    assert smoke(experiments).tables["table1"].columns[-1].set == "mine"


WRONG = {
    "a misspelt key": ("studies/smoke.yaml", lambda c: c["mining"].update(taau=1), "mining -> taau: unknown key"),
    "tau out of range": ("studies/smoke.yaml", lambda c: c["mining"].update(tau_image=1.5), "mining -> tau_image"),
    "a bad override in a run": (
        "paper/runs.yaml",
        lambda c: c["runs"]["cc3m_clip_helip"]["refine"].update(gama=2),
        "refine: gama: unknown key",
    ),
    "an unknown encoder": (
        "paper/runs.yaml",
        lambda c: c["runs"]["cc3m_clip_helip"].update(pairs={"image_encoder": "dinno"}),
        "'dinno' is none of the encoders",
    ),
    "an unknown corpus": ("paper/runs.yaml", lambda c: c["runs"]["cc3m_clip"].update(corpus="cc33m"), "'cc33m' is none of the corpora"),
    "an unknown base": ("paper/runs.yaml", lambda c: c["runs"].update(a={"base": "nobody"}), "base names 'nobody'"),
    "an unknown start": ("paper/runs.yaml", lambda c: c["runs"]["cc3m_clip_helip"].update(start="nobody"), "start names 'nobody'"),
    "a circle of bases": (
        "paper/runs.yaml",
        lambda c: c["runs"].update(a={"base": "b"}, b={"base": "a"}),
        "base goes round in a circle: a -> b -> a",
    ),
    "a circle of starts": (
        "paper/runs.yaml",
        lambda c: c["runs"].update(a={"start": "b", "refine": {}}, b={"start": "a", "refine": {}}),
        "start goes round in a circle: a -> b -> a",
    ),
    "neither objective nor start": (
        "paper/runs.yaml",
        lambda c: c["runs"].update(a={"corpus": "cc3m", "model": "rn50"}),
        "a: a run has either",
    ),
    "a run at the margin": (
        "paper/runs.yaml",
        lambda c: c.update(mine={"base": "cc3m_clip_helip"}),
        "mine is a run: write it under `runs`",
    ),
    "a row without a run": ("paper/tables.yaml", lambda c: c["table1"]["rows"][0].update(run="nobody"), "row 'CyCLIP' names run 'nobody'"),
    "a run in an unknown table": (
        "paper/runs.yaml",
        lambda c: c["runs"]["cc3m_clip_helip"].update(tables={"table99": "x"}),
        "tables names table 'table99', and there is no such table; did you mean 'table9'",
    ),
    "a claim about nobody": ("paper/claims.yaml", lambda c: c["clip_cc3m_zero_shot"].update(run="nobody"), "names run 'nobody'"),
    "a column of an unknown set": (
        "paper/tables.yaml",
        lambda c: c["table1"]["columns"][0].update(set="imagnet"),
        "column 'imagenet': 'imagnet' is none of the sets that any study knows; did you mean 'imagenet'",
    ),
    "a column of an unknown task": (
        "paper/tables.yaml",
        lambda c: c["table1"]["columns"][0].update(metric="zero_shot.acc1"),
        "column 'imagenet': names metric 'zero_shot.acc1', and there is no such metric; did you mean 'zeroshot.acc1'",
    ),
    "a column of an unknown metric": (
        "paper/tables.yaml",
        lambda c: c["table1"]["columns"][0].update(metric="zeroshot.acc11"),
        "names metric 'zeroshot.acc11', and there is no such metric; did you mean 'zeroshot.acc1'",
    ),
    "a column of another task than its set": (
        "paper/tables.yaml",
        lambda c: c["table1"]["columns"][0].update(set="flickr30k"),
        "metric zeroshot.acc1 is of zeroshot, and",
    ),
    "a printed number of no column": (
        "paper/tables.yaml",
        lambda c: c["table1"]["rows"][0]["published"].update(imagnet=1.0),
        "row 'CyCLIP': published names column 'imagnet', and there is no such column; did you mean 'imagenet'",
    ),
    "a contrast of nobody": (
        "paper/tables.yaml",
        lambda c: c["table1"].update(contrasts=[{"label": "x", "run": "cc3m_clip_helipp", "over": "cc3m_clip_control"}]),
        "contrast 'x': 'cc3m_clip_helipp' is none of the runs that any study knows; did you mean 'cc3m_clip_helip'",
    ),
    "two rows of one label": (
        "paper/tables.yaml",
        lambda c: c["table1"]["rows"][5].update(label="CLIP, cleaned"),
        "'CLIP, cleaned' is the label of both 'cc3m_clip_cleaned' and 'cc3m_clip_helip' on CC3M: give one of them another label",
    ),
    "two rows of one run": (
        "paper/tables.yaml",
        lambda c: c["table1"]["rows"].append({"corpus": "CC3M", "label": "again", "run": "cc3m_clip_helip"}),
        "table1: has two rows of run 'cc3m_clip_helip'",
    ),
    "a question asked of nobody": (
        "paper/report.yaml",
        lambda c: c["question"].update(asked_once="helip_pluss"),
        "asked_once: 'helip_pluss' is none of the runs that any study knows; did you mean 'helip_plus'",
    ),
    "the size of an unknown corpus": (
        "paper/report.yaml",
        lambda c: c["figures"]["figure4"]["sizes"].update(CC3m=3e6),
        "figure4: sizes names corpus 'CC3m', and there is no such corpus; did you mean 'CC3M'? in figure4",
    ),
    "a set of another world": (
        "studies/smoke.yaml",
        lambda c: c["evaluation"]["cifar10"].update(world_seed=1),
        "cifar10: is of another world than every generated corpus; give it world first, world_seed 0 and concepts 2500, as cc3m has",
    ),
    "an unknown first run": (
        "studies/smoke.yaml",
        lambda c: c.update(first=["cc3m_clp"]),
        "first: names run 'cc3m_clp', and there is no such run; did you mean 'cc3m_clip'",
    ),
    "a refinement first": (
        "studies/smoke.yaml",
        lambda c: c.update(first=["cc3m_clip_helip"]),
        "first: names run 'cc3m_clip_helip', which is a refinement; name the pre-training that it starts from, cc3m_clip",
    ),
    "pairs of a control": (
        "paper/runs.yaml",
        lambda c: c["runs"]["cc3m_clip_control"].update(pairs={"imge_encoder": 3}),
        "cc3m_clip_control -> pairs: imge_encoder: unknown key",
    ),
    "a contrast of an unknown metric": (
        "studies/smoke.yaml",
        lambda c: c.update(
            contrasts={
                "x": {
                    "question": "?",
                    "run": "cc3m_clip_helip",
                    "against": "cc3m_clip_control",
                    "metrics": ["cifar10.zeroshot.acc11"],
                }
            }
        ),
        "contrasts -> x: names metric 'zeroshot.acc11', and there is no such metric; did you mean 'zeroshot.acc1'",
    ),
    "one seed twice": ("studies/smoke.yaml", lambda c: c.update(seeds=[0, 0]), "seeds: seed 0 is given twice"),
    "one seed twice in a run": ("paper/runs.yaml", lambda c: c["runs"]["cc3m_clip"].update(seeds=[1, 1]), "seed 1 is given twice"),
    "a negative seed": ("studies/smoke.yaml", lambda c: c.update(seeds=[-1]), "seeds -> "),
    "images mined by a text encoder": (
        "studies/smoke.yaml",
        lambda c: c["mining"].update(image_encoder="sentence"),
        "pairs: image_encoder names 'sentence', which is an encoder of texts; name one whose modality is image",
    ),
    "pairs selected by two text encoders": (
        "studies/smoke.yaml",
        lambda c: c.update(
            runs={"a": {"base": "cc3m_clip_control", "select": {"score": "ridge", "image_encoder": "sentence", "text_encoder": "sentence"}}}
        ),
        "a: select: image_encoder names 'sentence', which is an encoder of texts; name one whose modality is image",
    ),
    "a margin that is no cosine": (
        "studies/smoke.yaml",
        lambda c: c.update(runs={"a": {"base": "cc3m_clip_helip", "false_negative_margin": 50}}),
        "runs -> a: false_negative_margin: Input should be less than or equal to 1",
    ),
    "an interpolation as a base": (
        "studies/smoke.yaml",
        lambda c: c.update(runs={"a": {"base": "cc3m_clip_helip_interpolated", "seeds": [0]}}),
        "runs -> a: interpolate takes everything from the run it names: remove seeds",
    ),
    "both epochs and steps": ("studies/smoke.yaml", lambda c: c["pretraining"]["clip"].update(epochs=2), "either epochs or steps"),
}


@pytest.mark.parametrize(("file", "change", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_declaration_names_file_and_entry(experiments, file, change, says):
    edit(experiments / file, change)
    with pytest.raises(HelipError) as caught:
        smoke(experiments)
    message = str(caught.value)
    assert says in message
    assert Path(file).name in message
    assert "\n" not in message


def test_a_key_given_twice_is_refused(experiments):
    file = experiments / "studies/smoke.yaml"
    file.write_text(file.read_text() + "\nseeds: [4]\n")
    with pytest.raises(HelipError, match="'seeds' is given twice"):
        smoke(experiments)


def test_names_that_do_not_exist_are_refused_with_those_that_do(project, monkeypatch):
    monkeypatch.chdir(project)
    with pytest.raises(HelipError, match="no study 'smok'; the studies are .*smoke"):
        load("smok")
    study = load("smoke")
    with pytest.raises(HelipError, match="binds no corpus cc12m and no model vit_b16 and no objective slip"):
        study.run("cc12m_slip")
    with pytest.raises(HelipError, match="knows no such run"):
        study.run("cc3m_klip")
    with pytest.raises(HelipError, match="cc3m_clip_helip has seeds 0, 1, not 7"):
        model_of(study, "cc3m_clip_helip", "7").inputs()
    with pytest.raises(HelipError, match="there is no 'table99'"):
        MakeTable(study, "table99").metrics()


def test_retention_set_and_selection_are_inputs_of_training(experiments):
    retention = {"retention": {"set": "cifar10", "every": 3, "tolerance": 1.0}}
    edit(experiments / "studies/smoke.yaml", lambda c: c.setdefault("runs", {}).update(cc3m_clip_control={"refine": retention}))
    inputs = {str(p) for p in model_of(smoke(experiments), "cc3m_clip_control", "1").inputs()}
    assert "results/smoke/evaluation/cifar10/evaluation.json" in inputs
    inputs = {str(p) for p in model_of(smoke(experiments), "cc3m_clip_select_sclip10", "1").inputs()}
    assert "results/smoke/selections/cc3m_clip/seed1/s_clip_loss.keep0.9/keep.npy" in inputs


def test_a_published_checkpoint_is_fetched_and_not_trained(project, monkeypatch):
    one = model_of(Study("paper", project / "experiments"), "cc3m_slip", "0")
    assert (one.label, one.needs(), one.resources()) == ("import", [], FILES_ONLY)
    monkeypatch.setattr("helip.download.checkpoints.fetch_model", lambda *how: "f00d")
    assert one.make(How()) == "imported a checkpoint with sha256 f00d"


def added(experiments, **runs) -> Study:
    edit(experiments / "studies/smoke.yaml", lambda c: c.setdefault("runs", {}).update(runs))
    return smoke(experiments)


def test_an_interpolation_is_made_of_a_refinement_and_its_start(experiments):
    study = added(experiments, half={"interpolate": {"run": "cc3m_clip_helip", "weight": 0.5}}, cc3m_clip_helip={"repeats": 2})
    run, refined = study.run("half"), study.run("cc3m_clip_helip")
    assert (run.arm, run.start, run.seeds, run.recipe) == ("helip", "cc3m_clip", refined.seeds, refined.recipe)
    assert [str(f.parent.relative_to(study.root)) for f in model_of(study, "half", "1r0").inputs()] == [
        "models/cc3m_clip/seed1",
        "models/cc3m_clip_helip/seed1r0",
    ]
    assert study.control_of("half") == "cc3m_clip_control"
    other = added(experiments, half={"interpolate": {"run": "cc3m_clip_helip", "weight": 0.25}})
    assert model_of(study, "half", "0r0").digest != model_of(other, "half", "0r0").digest


def test_an_interpolated_control_controls_nothing(experiments):
    study = added(experiments, cc3m_clip_a={"interpolate": {"run": "cc3m_clip_control", "weight": 0.5}})
    assert not study.run("cc3m_clip_a").is_plain_control
    assert study.control_of("cc3m_clip_a") == "cc3m_clip_control"


def test_filtered_pairs_are_of_a_start_and_a_margin(experiments):
    runs = {name: {"base": "cc3m_clip_helip", "false_negative_margin": m} for name, m in (("some", 0.0), ("more", 0.05))}
    study = added(experiments, **runs)
    folders = {str(drawn_pairs(study, name, "1").folder.relative_to(study.root)) for name in (*runs, "cc3m_clip_helip")}
    pairs = study.pairs_name(study.run("some"))
    assert folders == {f"pairs/{pairs}", f"filtered/cc3m_clip/seed1/{pairs}.margin0.0", f"filtered/cc3m_clip/seed1/{pairs}.margin0.05"}
    assert drawn_pairs(study, "some", "1").folder / "pairs.json" in model_of(study, "some", "1").inputs()
    assert study.filter_entry("cc3m_clip", f"{pairs}.margin0.05") == (pairs, 0.05)
    assert len({model_of(study, name, "1").digest for name in (*runs, "cc3m_clip_helip")}) == 3
    with pytest.raises(HelipError, match="no refinement of cc3m_clip draws from filtered pairs 'other'"):
        study.filter_entry("cc3m_clip", "other")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"interpolate": {"run": "cc3m_clip", "weight": 0.5}}, "interpolate names 'cc3m_clip', which is no refinement"),
        ({"interpolate": {"run": "nobody", "weight": 0.5}}, "interpolate names 'nobody', and there is no such run"),
        ({"interpolate": {"run": "cc3m_clip_helip", "weight": 2}}, "weight"),
        ({"interpolate": {"run": "cc3m_clip_helip", "weight": 0.5}, "start": "cc3m_clip"}, "takes everything from the run it names"),
        ({"base": "cc3m_clip_control", "false_negative_margin": 0.0}, "only the arm helip draws any"),
        ({"base": "cc3m_clip_helip", "refine": {"role": "negatives", "symmetric_margin": True}}, "role negatives"),
        ({"base": "cc3m_clip_helip", "refine": {"role": "negatives", "objective": {"name": "cyclip"}}}, "role negatives"),
    ],
)
def test_a_wrong_interpolation_or_filter_is_refused(experiments, entry, words):
    with pytest.raises(HelipError, match=words):
        added(experiments, wrong=entry)


def test_an_encoder_of_one_study_needs_no_third_entry(experiments):
    """A run in runs.yaml and the encoder in one study: other studies leave the run out, and say so."""
    edit(experiments / "paper/runs.yaml", lambda c: c["runs"].update(new={"base": "cc3m_clip_helip", "pairs": {"image_encoder": "dinov9"}}))
    with pytest.raises(
        HelipError, match=r"new: 'dinov9' is none of the encoders that any study knows; .*or bind it under encoders of a study"
    ):
        smoke(experiments)
    declared = {"library": "timm", "model": "resnet10t", "image_size": 32}
    edit(experiments / "studies/smoke.yaml", lambda c: c["encoders"].update(dinov9=declared))
    assert smoke(experiments).run("new").pairs.image_encoder == "dinov9"
    other = Study("miniature", experiments)
    assert other.left_out == {"new": ("encoder dinov9",)}
    assert other.notice() == (
        f"1 of {len(other.declared)} runs are left out of study miniature, which does not bind: encoder dinov9. "
        "`helip runs miniature` lists them."
    )


def test_a_run_that_selects_by_an_unbound_encoder_is_left_out(experiments):
    """As one whose pairs do: runs.yaml knows the encoder, and this study does not bind it."""
    new = {"base": "cc3m_clip_control", "select": {"score": "ridge", "image_encoder": "swag_vitb16", "text_encoder": "sentence"}}
    edit(experiments / "paper/runs.yaml", lambda c: c["runs"].update(new=new))
    study = smoke(experiments)
    assert study.left_out["new"] == ("encoder swag_vitb16",) and "new" not in study.runs
    new["select"]["image_encoder"] = "swg_vitb16"
    edit(experiments / "paper/runs.yaml", lambda c: c["runs"].update(new=new))
    with pytest.raises(HelipError, match="new: 'swg_vitb16' is none of the encoders that any study knows; did you mean 'swag_vitb16'"):
        smoke(experiments)


@pytest.mark.parametrize("name", ["my-study", "Mine"])
def test_a_study_that_no_rule_would_find_is_refused(experiments, name):
    shutil.copy(experiments / "studies/smoke.yaml", experiments / f"studies/{name}.yaml")
    with pytest.raises(HelipError, match=rf"{name}.yaml: a study is named by small letters, digits and _.*; rename the file"):
        Study(name, experiments)
