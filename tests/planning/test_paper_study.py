"""The paper study against section 4.1 of arXiv 2305.05208 and against runs.yaml."""

import pytest

from helip.config import Pairs, Refinement
from helip.config.reading import read_yaml
from helip.mining.presets import released_code
from helip.stages import BuildCorpus, model_of
from helip.study import Study
from helip.study.resolve import Names

RELEASED = {"cc3m_clip_control_released", "cc3m_clip_helip_released"}  # not the paper's: its released code's recipe
TABLE8 = ("cc3m_clip_helip", "cc3m_clip_helip_clip_encoders", "cc3m_clip_helip_swag", "cc3m_clip_helip_t5")
TABLE9 = ("cc12m_slip_helip_3m", "cc12m_slip_helip_6m", "cc12m_slip_helip")
BY_SHARE = {f"{run}_15": run for run in (*TABLE8, *TABLE9)}  # not the paper's: the same rows by a share of noise


@pytest.fixture(scope="module")
def paper(project) -> Study:
    return Study("paper", project / "experiments")


def test_every_name_and_every_run_is_bound(paper, project):
    content = read_yaml(project / "experiments/paper/runs.yaml", dict)
    names, runs = Names.model_validate(content["names"]), content["runs"]
    assert set(names.corpora) <= set(paper.declaration.corpora)
    assert set(names.models) <= set(paper.declaration.models)
    assert set(names.encoders) <= set(paper.declaration.encoders)
    assert set(names.objectives) <= set(paper.declaration.pretraining)
    assert set(runs) == set(paper.runs) - RELEASED - {"cc3m_slip_helip_logits", *BY_SHARE}


def test_every_number_of_the_papers_tables_will_be_computed(paper):
    from helip.planning import artefacts

    planned = artefacts(paper)
    assert {f"table{n}" for n in range(1, 11)} <= {one.table for one in planned if one.name == "table"}
    wanted = {(c.set, c.metric.partition(".")[0]) for n in range(1, 10) for c in paper.tables[f"table{n}"].columns}
    assert wanted <= {*paper.tasks("evaluate"), *paper.tasks("probe")}
    assert len(paper.declaration.evaluation) == 12
    mined = {one.pairs for one in planned if one.name == "mine"}
    assert all(paper.pairs_name(paper.run(row.run)) in mined for row in paper.tables["table10"].rows)


def test_the_times_of_table_10_are_the_printed_ones(paper):
    printed = {
        "HELIP-3M": {"CC12M": "2h18min", "YFCC15M": "3h27min"},
        "HELIP-6M": {"CC12M": "5h3min", "YFCC15M": "6h19min"},
        "HELIP-Full": {"CC3M": "1h9min", "CC12M": "9h11min", "YFCC15M": "17h41min"},
    }
    minutes = {(r.label, r.corpus): r.published["minutes"] for r in paper.tables["table10"].rows}
    times = {(label, corpus): time.removesuffix("min").split("h") for label, row in printed.items() for corpus, time in row.items()}
    assert minutes == {key: 60 * int(h) + int(m) for key, (h, m) in times.items()}


def test_section_4_1(paper):
    gpus = paper.resources("train").gpu
    assert gpus == 8
    for run in paper.runs.values():
        if run.start and run.name not in RELEASED:
            a_gpu = run.recipe.batch_size // gpus
            assert a_gpu == (128 if run.model == "vit_b16" else 512), run.name
            assert run.recipe.precision == "fp16" and run.recipe.p == 1 and run.recipe.gamma in (1.0, 0.0)
    mining = paper.declaration.mining
    assert (mining.tau_image, mining.tau_text, mining.k) == (0.5, 0.5, 500)
    assert (mining.image_encoder, mining.text_encoder) == ("dino_vits8", "sentence")


def test_early_stopping_sees_what_no_start_was_trained_on(paper):
    """Section 4.1: in all experiments, after 5 epochs without a gain. Interpolations and the released code's recipe have none."""
    for run in paper.runs.values():
        if run.start and run.name not in RELEASED:
            assert (run.recipe.early_stopping.patience, run.recipe.early_stopping.corpus) == (5, "cc3m_validation"), run.name
            validated = [need.corpus for need in model_of(paper, run.name, run.seeds[0]).needs() if need.name == "corpus"]
            assert run.interpolate or validated == [run.corpus, "cc3m_validation"]
    assert "cc3m_validation" not in {run.corpus for run in paper.runs.values()} | set(paper.corpus("open29m").of)


def test_an_epoch_is_that_of_the_released_sampler(paper):
    """2 N samples: every pair as base and a hard pair with each; "one epoch" of section 4.3 is one of those."""
    assert paper.run("yfcc15m_v1_clip_helip").recipe.epochs == paper.run("cc12m_slip_control").recipe.epochs == 2
    pairs = 2905954  # that the mirror has
    assert 2 * pairs // 4096 == paper.run("cc3m_clip_helip").recipe.early_stopping.every == 1418


def test_resnets_are_refined_with_their_own_betas(paper):
    for run in paper.runs.values():
        if run.start and run.name not in RELEASED and run.start not in paper.declaration.published:
            start = paper.run(run.start).recipe
            assert (run.recipe.betas, run.recipe.eps) == (start.betas, start.eps), run.name


@pytest.mark.parametrize("study", ["paper", "miniature", "flickr8k"])
def test_image_and_text_mining_have_no_threshold(project, study):
    runs = [
        run
        for run in Study(study, project / "experiments").runs.values()
        if run.pairs is not None and run.pairs.method in ("image", "text")
    ]
    assert runs
    for run in runs:
        assert run.pairs.outliers is None
        assert (run.pairs.tau_image, run.pairs.tau_text, run.recipe.drop_noise) == (None, None, False)
        assert run.recipe.gamma == 0 or study != "paper"


def test_rows_by_share_differ_from_the_papers_in_tau_alone(paper):
    """Tables 8 and 9: one tau drops unlike shares of unlike encoders and pools."""
    for table, runs in (("table8", TABLE8), ("table9", TABLE9)):
        assert paper.tables[table].dropped
        shown = [run for _, _, run, _, _ in paper.table_rows(table)]
        assert {f"{run}_15" for run in runs} == {run for run in shown if run.endswith("_15")}
    for name, of in BY_SHARE.items():
        ours, theirs = paper.run(name), paper.run(of)
        by_share = theirs.pairs.model_dump(exclude={"tau_image", "tau_text", "outliers"}) | {"outliers": 0.15}
        assert ours.pairs == Pairs.model_validate(by_share) and ours.pairs.tau_image is None
        assert (ours.recipe, ours.seeds, ours.start) == (theirs.recipe, theirs.seeds, theirs.start)


def test_the_released_recipe_is_that_of_its_readme(paper, project):
    recipe = read_yaml(project / "experiments/recipes/released_code.yaml", Refinement)
    readme = {"batch_size": 8 * 420, "learning_rate": 5e-4, "weight_decay": 0.2, "warmup_steps": 10000, "gamma": 0.0, "drop_noise": False}
    for one in (recipe, paper.run("cc3m_clip_helip_released").recipe, paper.run("cc3m_clip_control_released").recipe):
        assert {name: getattr(one, name) for name in readme} == readme
        assert (one.epochs, one.betas, one.eps, one.early_stopping) == (2, (0.9, 0.999), 1e-8, None)
    mined = paper.run("cc3m_clip_helip_released").pairs
    usual = released_code(3_000_000)
    assert {n: getattr(mined, n) for n in ("k", "tau_image", "tau_text", "max_similarity")} == {
        n: getattr(usual, n) for n in ("k", "tau_image", "tau_text", "max_similarity")
    }


def test_the_papers_recipe_file_is_the_studys_refinement(paper, project):
    recipe = read_yaml(project / "experiments/recipes/paper.yaml", Refinement)
    declared = paper.declaration.refinement.model_copy(update={"accumulate": 1, "early_stopping": None, "save_every": recipe.save_every})
    assert recipe == declared


def test_both_readings_of_the_margin_are_run(paper):
    """Section 3.3 speaks of the matrix of CLIP's loss, eq. 6 of cosines."""
    cosines, logits = (paper.run(name).recipe for name in ("cc3m_slip_helip", "cc3m_slip_helip_logits"))
    assert (cosines.margin_on, logits.margin_on) == ("cosines", "logits")
    assert logits.model_copy(update={"margin_on": "cosines"}) == cosines
    assert "cc3m_slip_helip_logits" in [run for _, _, run, _, _ in paper.table_rows("table7")]


def test_probes_use_their_authors_validation_images(paper):
    assert {n: s.validation for n, s in paper.declaration.evaluation.items() if getattr(s, "validation", None)} == {
        "flowers102": "val", "aircraft": "val",
    }  # fmt: skip


def test_arms_differ_only_in_where_their_batches_come_from(paper):
    for run in paper.runs.values():
        if run.arm == "helip" and run.recipe.gamma == 1.0 and run.recipe.role == "batch" and run.recipe.objective.name == "clip":
            control = paper.run(paper.control_of(run.name))
            of_hard_pairs = {"arm": "control", "role": "batch", "margin_on": "cosines"}
            assert run.recipe.model_copy(update=of_hard_pairs) == control.recipe, run.name
            assert run.seeds == control.seeds
        if run.select and run.arm == "control":
            assert run.recipe == paper.run(paper.control_of(run.name)).recipe, run.name


def test_at_least_three_refinements_everywhere(paper):
    for run in paper.runs.values():
        if run.start:
            assert len(run.seeds) >= 3, run.name


def test_published_models_are_the_papers_and_need_no_corpus(paper):
    assert set(paper.declaration.published) == {"cc3m_slip", "cc12m_slip", "yfcc15m_v2_slip", "yfcc15m_v2_declip"}
    assert model_of(paper, "cc3m_slip", "0").inputs() == []
    assert model_of(paper, "cc3m_slip", "0").digest != model_of(paper, "cc12m_slip", "0").digest


def test_what_clip_benchmark_ships_has_the_declared_digests(paper):
    import hashlib

    from helip.download.packing import benchmark_words

    def digest(lines):
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    names = {"imagenet": "imagenet1k", "flowers102": "flowers", "aircraft": "fgvc_aircraft"}
    for name, declared in paper.declaration.evaluation.items():
        theirs, expected = names.get(name, name), declared.expected
        if expected.class_names and name != "cifar10":
            assert digest(benchmark_words(theirs, "classnames")) == expected.class_names, name
        if expected.templates and name != "cub":
            assert digest(benchmark_words(theirs, "zeroshot_classification_templates")) == expected.templates, name


def test_open29m_depends_on_its_members(paper):
    assert [member.corpus for member in BuildCorpus(paper, "open29m").needs()] == ["cc3m", "cc12m", "yfcc15m_v1"]
    assert paper.own_corpora == ["cc3m", "cc12m", "yfcc15m_v1", "yfcc15m_v2", "laion7m5", "laion8m"]
