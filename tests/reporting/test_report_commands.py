"""`helip table`, `claims`, `figure` and `report` as the rules call them."""

import pytest

from helip.cli import main
from helip.stages import BuildCorpus


@pytest.fixture
def at_home(measured, project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("HELIP_RESULTS", str(measured.root.parent))
    return measured


def test_claims_table_and_figure_4_of_a_study(at_home, capsys):
    assert main(["table", "--study", "smoke", "table1"]) == 0
    assert "CLIP-HELIP | 28.75 ± 1.77 (19.86, +8.89)" in capsys.readouterr().out
    assert main(["claims", "--study", "smoke"]) == 0
    printed = capsys.readouterr().out
    assert "claims.csv: " in printed and "not run" in printed
    BuildCorpus(at_home, "cc3m").output.write_text('{"size": 600}')
    assert main(["figure", "--study", "smoke", "figure4"]) == 0
    assert {p.name for p in at_home.root.glob("*.*")} == {
        "table1.csv",
        "table1.md",
        "table1.tex",
        "claims.csv",
        "claims.md",
        "figure4.png",
        "figure4.pdf",
    }


def test_what_cannot_be_made_is_one_sentence(at_home, capsys):
    assert main(["figure", "--study", "smoke", "figure6"]) == 2
    assert "'figure6' is no figure, or the study lacks what it shows" in capsys.readouterr().err
    assert main(["report", "--study", "smoke"]) == 2
    assert "claims.csv: not found; build it first" in capsys.readouterr().err
