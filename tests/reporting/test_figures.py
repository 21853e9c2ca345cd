import numpy as np
import pytest
from PIL import Image
from wide import build_corpora, mine_pairs, wide_study, write_all_metrics

from helip.errors import HelipError
from helip.mining.pairs import PairSet
from helip.reporting.figures import draw
from helip.reporting.figures.pair_sheets import drawn_targets
from helip.reporting.inputs import figure_inputs, figures, sheet_pairs, tables


@pytest.fixture(scope="module")
def made(project, tmp_path_factory):
    study = wide_study(project, tmp_path_factory.mktemp("wide"))
    build_corpora(study, ("cc3m", "cc12m"))
    for corpus in study.declaration.corpora:
        study.corpus_dir(corpus).mkdir(parents=True, exist_ok=True)
        if not study.manifest(corpus).exists():
            study.manifest(corpus).write_text('{"size": 500}')
    mine_pairs(study, [name for name in study.pairs if name.startswith(("cc3m", "cc12m"))])
    write_all_metrics(study, items=60)
    return study


def test_a_study_draws_what_it_has_runs_for(study, made):
    assert figures(made) == ["figure4", "figure5", "figure6", "figure7", "figure8"]
    assert figures(study) == ["figure4", "figure8"]  # the smoke study mines by one method alone
    assert "table9" not in tables(study) and "table9" in tables(made)
    with pytest.raises(HelipError, match="'figure6' is no figure, or the study lacks what it shows; it can draw figure4, figure8"):
        draw(study, "figure6")


@pytest.mark.parametrize("name", ["figure4", "figure5", "figure6", "figure7"])
def test_figures_are_drawn_as_png_and_pdf(made, name):
    assert all(path.exists() for path in figure_inputs(made, name))
    png, pdf = draw(made, name)
    pixels = np.asarray(Image.open(png).convert("L"))
    assert min(pixels.shape) > 400 and (pixels < 250).mean() > 0.01  # something is on the paper
    assert pdf.read_bytes().startswith(b"%PDF")


def test_the_same_figure_is_the_same_file(made):
    before = [path.read_bytes() for path in draw(made, "figure4")]
    assert [path.read_bytes() for path in draw(made, "figure4")] == before


def test_sheets_compare_the_methods_of_one_corpus_with_the_studys_own_encoders(made):
    assert sheet_pairs(made, "figure5") == ["cc3m.hpm.dino_vits8.sentence", "cc3m.image.resnet50", "cc3m.text.bert"]
    full, *pools = sheet_pairs(made, "figure6")
    assert full == "cc12m.hpm.dino_vits8.sentence"
    assert [made.pairs_entry(name)[1].pool for name in pools] == [180, 90]


def test_targets_are_drawn_among_those_that_every_method_has_pairs_for(made):
    sets = [PairSet.open(made.pairs_dir(name)) for name in sheet_pairs(made, "figure5")]
    targets = drawn_targets(sets, 6)
    assert len(set(targets)) == 6 and targets == drawn_targets(sets, 6)
    assert all(len(s.hard(i)) for s in sets for i in targets)
    assert drawn_targets(sets, 2) == targets[:2]
