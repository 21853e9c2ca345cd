"""The stages `table`, `claims` and `figure`, and `helip report`."""

import pytest

from helip.cli import main
from helip.reporting.pages import write_claims
from helip.stages import BuildCorpus


@pytest.fixture
def at_home(measured, project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("HELIP_RESULTS", str(measured.root.parent))
    return measured


def test_claims_table_and_figure_4_of_a_study(at_home, capsys):
    assert main(["run", "smoke", "table", "table1"]) == 0
    assert "CLIP-HELIP | 28.75 ± 1.77 |" in capsys.readouterr().out
    assert main(["run", "smoke", "claims"]) == 2  # the stage waits for all metrics files
    assert "caltech101.zeroshot.json: is not there, and claims all needs it" in capsys.readouterr().err
    assert write_claims(at_home).counts["not run"] > 0  # `helip report --finished` decides them by what is there
    BuildCorpus(at_home, "cc3m").output.write_text('{"size": 600}')
    assert main(["run", "smoke", "figure", "figure4"]) == 0
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
    assert main(["run", "smoke", "figure", "figure6"]) == 2
    assert "'figure6' is no figure, or the study lacks what it shows" in capsys.readouterr().err
    assert main(["report", "smoke"]) == 2
    printed = capsys.readouterr().err
    assert "claims.csv: not found; build it first (`snakemake " in printed and "/smoke/report.html` makes all" in printed
