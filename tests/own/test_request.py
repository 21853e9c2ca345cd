"""From a request to the study that is written: arms, settings that suit the start, sets, and what is refused."""

import dataclasses

import pytest

from helip.cli import main
from helip.cli.command import parse
from helip.cli.refine import Refine, _checked, _encoder
from helip.config import GeneratedCorpus
from helip.data.build import build_corpus
from helip.errors import HelipError
from helip.own import planning
from helip.own.arms import check_arms, mining_of, suited
from helip.own.files import NAME, write
from helip.own.refine import _set_steps
from helip.own.sources import Amount, absolute, absolute_set, amount_of, corpus_of, evaluation_sets
from helip.own.start import StartFacts
from helip.own.study import Machine, Request, declare, name_of
from helip.stages import Answer, Evaluate, Train
from helip.study import Study

CONFIG = {"embed_dim": 16, "vision_cfg": {"image_size": 32}, "text_cfg": {"context_length": 16}}
SMALL = StartFacts("local-dir:/start", "", CONFIG, 1_000_000, False, 32, 0.01, 0.001, 0.05, 4_000_000)
LARGE = dataclasses.replace(SMALL, parameters=150_000_000)
FROZEN = dataclasses.replace(SMALL, is_frozen=True)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "corpus"
    build_corpus(GeneratedCorpus(size=600, samples_per_shard=300), folder)
    return folder / "shards"


def study_of(shards, folder, project, **options) -> Study:
    request = Request(model="local-dir:/start", data=str(shards), arms=("selected", "helip"), **options)
    write(folder, declare(request, SMALL, Machine(2, 0)), project)
    return Study(NAME, folder / "experiments", folder / "results")


def test_the_study_has_every_arm_and_its_mixture(shards, tmp_path, project):
    study = study_of(shards, tmp_path, project)
    assert list(study.runs) == ["start", "control", "selected", "helip", "control_mixed", "selected_mixed", "helip_mixed"]
    assert study.control_of("helip") == study.control_of("selected") == "control"
    assert study.runs["selected"].select.score == "s_clip_loss" and study.runs["selected"].arm == "control"
    assert study.runs["control"].recipe.batch_size == 16  # the largest that leaves 16 batches of 480 pairs
    needed = {need.title for need in Answer(study).needs() if isinstance(need, Evaluate)}
    assert needed == {f"{run} seed 0" for run in study.runs}


def test_a_shell_may_expand_the_paths_of_the_data(shards, tmp_path, project):
    both = Refine.model_validate({"model": "m", "data": [str(file) for file in sorted(shards.glob("*.tar"))], "out": tmp_path})
    joined = "::".join(both.data)
    assert amount_of(corpus_of(joined, {})).images == amount_of(corpus_of(str(shards), {})).images == 600
    assert name_of(joined) == f"{shards}/00000.tar and 1 more" and name_of("photos") == "photos"


def test_three_seeds_are_three_refinements_of_one_start(shards, tmp_path, project):
    study = study_of(shards, tmp_path, project, seeds=3)
    assert study.runs["helip"].seeds == ("0r0", "0r1", "0r2") and study.runs["start"].seeds == ("0",)
    assert len({Train(study, "helip", seed).digest for seed in study.runs["helip"].seeds}) == 3


def test_options_go_over_what_suits_the_start(shards, tmp_path, project):
    study = study_of(shards, tmp_path, project, refinement={"steps": 7, "learning_rate": 0.5}, mine={"k": 3}, select={"keep": 0.5})
    recipe = study.runs["control"].recipe
    assert (recipe.steps, recipe.epochs, recipe.learning_rate) == (7, None, 0.5)
    assert study.declaration.mining.k == 3 and study.runs["selected"].select.keep == 0.5


@pytest.mark.parametrize(("start", "rate", "epochs"), [(SMALL, 1e-4, 3), (LARGE, 1e-5, 3), (FROZEN, 3e-4, 8)])
def test_settings_suit_the_start(start, rate, epochs):
    values = suited(start, 100_000, "cpu")
    assert (values["learning_rate"], values["epochs"], values["batch_size"]) == (rate, epochs, 256)


@pytest.mark.parametrize(
    ("given", "steps", "warmup"),
    [
        ({}, 90, 4),
        ({"epochs": 30.0}, 900, 45),
        ({"batch_size": 48}, 30, 2),
        ({"steps": 50}, 50, 2),
        ({"epochs": 0.1}, 3, 1),
        ({"steps": 1}, 1, 0),
        ({"steps": 50, "warmup_steps": 9}, 50, 9),
    ],
)
def test_a_twentieth_of_the_steps_is_warm_up(shards, tmp_path, project, given, steps, warmup):
    study = study_of(shards, tmp_path, project, refinement=given)
    assert planning.steps_of(study, "control", 480) == steps and study.runs["control"].recipe.warmup_steps == warmup


def test_a_warm_up_longer_than_the_training_is_refused(shards):
    request = Request(model="local-dir:/start", data=str(shards), arms=("helip",), refinement={"steps": 9, "warmup_steps": 9})
    with pytest.raises(HelipError, match="--warmup-steps 9: all of a training is about 9 steps; lower it or train longer"):
        declare(request, SMALL, Machine(2, 0))


def test_options_that_were_typed_are_values(shards):
    typed = ["--epochs", "2", "--warmup-steps", "3", "--learning-rate", "1e-3", "--early-stopping-every", "5", "--duplicates", "ignore"]
    line = ["--model", "m", "--data", str(shards), "--out", "o", *typed]
    given = _checked(parse("refine", "refine", Refine, line).refinement)
    early = {"every": 5}
    assert given == {"epochs": 2.0, "warmup_steps": 3, "learning_rate": 0.001, "early_stopping": early, "duplicates": "ignore"}
    request = Request(model="local-dir:/start", data=str(shards), arms=("helip",), refinement=given)
    assert declare(request, SMALL, Machine(2, 0))["refinement"]["warmup_steps"] == 3


def test_a_given_warm_up_stays_beside_minutes():
    study = {"refinement": {"epochs": 3.0, "warmup_steps": 9}}
    request = Request("m", "d", (), refinement={"warmup_steps": 9})
    _set_steps(study, 100, request)
    assert study["refinement"] == {"steps": 100, "warmup_steps": 9}
    with pytest.raises(HelipError, match="--warmup-steps 9: 9 steps fit into --minutes; lower it, or give more minutes"):
        _set_steps(study, 9, request)
    _set_steps(study, 100, Request("m", "d", ()))
    assert study["refinement"] == {"steps": 100, "warmup_steps": 5}


def test_a_large_corpus_is_mined_in_drawn_pools():
    assert mining_of(1000)["method"] == "hpm" and mining_of(1000)["k"] == 50
    assert mining_of(60)["k"] == 5
    assert (mining_of(10**6)["method"], mining_of(10**6)["pool"]) == ("fast_hpm", 100_000)


def test_the_control_is_always_among_the_arms():
    assert check_arms(("helip",)) == ("control", "helip")
    with pytest.raises(HelipError, match="--arms hellip: there is no such arm; did you mean 'helip'"):
        check_arms(("hellip",))


def test_pairs_are_counted_before_anything_is_read_whole(shards):
    amount = amount_of(corpus_of(str(shards), {}))
    assert (amount.images, amount.captions) == (pytest.approx(600, rel=0.05), 1)
    with pytest.raises(HelipError, match="nowhere: is not there; put it there or correct the path"):
        corpus_of("nowhere", {})


def test_evaluation_sets_are_folders_or_names_with_a_root(tmp_path):
    (tmp_path / "My Set").mkdir()
    (tmp_path / "My Set" / "dataset_type.txt").write_text("retrieval\n")
    sets = evaluation_sets((str(tmp_path / "My Set"), f"cifar10={tmp_path}"), "--evaluate")
    assert {name: (one["kind"], one["task"]) for name, one in sets.items()} == {
        "my_set": ("wds", "retrieval"),
        "cifar10": ("clip_benchmark", "classification"),
    }
    with pytest.raises(HelipError, match="--evaluate cifar10: is no folder; give one in CLIP benchmark's wds layout, or NAME=ROOT"):
        evaluation_sets(("cifar10",), "--evaluate")


def test_the_plan_counts_jobs_and_adds_up(shards, tmp_path, project):
    study = study_of(shards, tmp_path, project)
    lines = {line.what: line for line in planning.plan(study, SMALL, planning.Sizes(480, 60, captions=5, begin=2), cores=2)}
    assert {what: line.jobs for what, line in lines.items()} == {
        "import": 1, "corpus": 2, "evaluation_set": 2, "evaluate": 7, "train": 3, "select": 1, "encode": 2, "mine": 1, "sweep": 3,
        "interpolate": 3, "fingerprint": 1, "contamination": 1, "answer": 1,
    }  # fmt: skip
    steps = round(3 * 480 / 16)
    assert lines["train"].seconds == pytest.approx(3 * (2 + steps * 16 * 0.05))
    assert lines["train"].disk == 3 * 4 * 4_000_000
    assert lines["evaluate"].seconds == pytest.approx(7 * (2 + 2 * 60 * (0.01 + 5 * 0.001)))  # all captions of a held-out image
    assert planning.text(list(lines.values())).splitlines()[-1].split()[:3] == ["all", "28", "28"]


def test_what_frozen_towers_say_is_planned_once(shards, tmp_path, project):
    study = study_of(shards, tmp_path, project, freeze=("image", "text"))
    lines = {line.what: line for line in planning.plan(study, SMALL, planning.Sizes(480, 60, captions=5, begin=0), cores=2)}
    assert lines["encode_views"].seconds == pytest.approx(480 * (2 * 0.01 + 5 * 0.001))  # the image and its mirror image
    assert lines["encode_views"].disk == 480 * (2 + 5) * 16 * 4  # float32
    assert lines["evaluate"].seconds == pytest.approx(2 * 60 * (0.01 + 5 * 0.001))  # of seven models
    assert lines["select"].seconds == lines["encode"].seconds == lines["sweep"].seconds == 0
    assert lines["train"].seconds < 3


def test_a_pair_is_an_image_whatever_form_it_comes_in(tmp_path):
    """So the same pairs take the same settings: five rows of one image are no five pairs."""
    photos, rows = tmp_path / "photos", ["photo;words"]
    for i in range(8):
        place = photos / f"album{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i}.jpg").write_bytes(b"")
        (place / f"{i}.txt").write_text("a dog\na brown dog\n")
        rows += [f"{place / f'{i}.jpg'};a dog", f"{place / f'{i}.jpg'};a brown dog"]
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    columns = {"image_column": "photo", "caption_column": "words"}
    assert amount_of(corpus_of(str(photos), {})) == amount_of(corpus_of(str(tmp_path / "list.csv"), columns)) == Amount(8, 2.0)


def test_a_request_is_the_same_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "lr=3").mkdir()
    (tmp_path / "minilm").mkdir()
    monkeypatch.chdir(tmp_path)
    assert absolute("photos") == str(tmp_path / "photos") and absolute("s3://bucket/x") == "s3://bucket/x"
    assert absolute("$HELIP_DATA/pairs") == "$HELIP_DATA/pairs"
    assert absolute_set("lr=3") == str(tmp_path / "lr=3") and absolute_set("cifar10=data") == f"cifar10={tmp_path / 'data'}"
    assert _encoder("sentence_transformers:minilm", "--text-encoder") == f"sentence_transformers:{tmp_path / 'minilm'}"
    assert _encoder("open_clip-image:minilm", "--image-encoder") == f"open_clip-image:local-dir:{tmp_path / 'minilm'}"
    assert _encoder("timm:minilm", "--image-encoder") == "timm:minilm" and _encoder(None, "--image-encoder") is None
    with pytest.raises(HelipError, match="--image-encoder ./enc: is not there"):
        _encoder("open_clip-image:./enc", "--image-encoder")
    with pytest.raises(HelipError, match=r"ca\\xe9: this name is not UTF-8"):
        absolute("ca\udce9")


def test_a_set_whose_folder_has_an_equals_sign(tmp_path):
    (tmp_path / "lr=3").mkdir()
    (tmp_path / "lr=3" / "dataset_type.txt").write_text("retrieval\n")
    assert evaluation_sets((str(tmp_path / "lr=3"),), "--evaluate")["lr_3"]["path"] == str(tmp_path / "lr=3")


def test_images_of_a_table_start_where_the_user_stands(tmp_path, monkeypatch):
    """A job works in the folder of the study, from which a relative path leads elsewhere."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "imgs").mkdir()
    (tmp_path / "imgs" / "a.jpg").write_bytes(b"")
    (tmp_path / "tables" / "list.csv").write_text("image,caption\nimgs/a.jpg,one\n")
    monkeypatch.chdir(tmp_path)
    assert corpus_of("tables/list.csv", {})["image_root"] == str(tmp_path)
    (tmp_path / "tables" / "list.csv").write_text(f"image,caption\n{tmp_path}/imgs/a.jpg,one\n")
    assert "image_root" not in corpus_of("tables/list.csv", {})


def test_gpus_of_this_machine_must_be_there(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    usual = ["refine", "--model", "m", "--data", "d", "--out", "o"]
    assert main([*usual, "--gpus", "1"]) == 2
    assert "--gpus 1: this machine has no GPU that torch can use; leave it out, or give a --profile" in capsys.readouterr().err
    assert main([*usual, "--profile", "slurm", "--minutes", "9"]) == 2
    assert "--minutes: the first steps are measured on this machine, which has no GPU" in capsys.readouterr().err
