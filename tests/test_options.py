"""What several sub-commands take alike: numbers, and options of one's own beside a study."""

import pytest

from helip.cli import main

OWN = {
    "corpus": "cc3m --shards x",
    "encode": "cc3m sentence --centre",
    "select": "cc3m_clip s_clip_loss.keep0.9 --keep 0.5",
    "mine": "cc3m.hpm.dino_vits8.sentence --k 7",
    "merge-pairs": "cc3m.hpm.dino_vits8.sentence --out x",
    "filter-pairs": "cc3m_clip cc3m.hpm.dino_vits8.sentence --margin 0.1",
    "interpolate": "half --weight 0.25",
    "evaluate": "cc3m_clip --seed 0 --out x",
}


@pytest.mark.parametrize(("command", "said"), OWN.items())
def test_an_option_of_ones_own_beside_a_study_is_refused(command, said, project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert main([command, "--study", "smoke", *said.split()]) == 2
    option = next(word for word in reversed(said.split()) if word.startswith("--"))
    error = capsys.readouterr().err
    assert error == f"helip {command}: {option}: not beside --study, which says it itself; leave out one or the other\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("mine --workers -1", "argument --workers: '-1' is no whole number of 1 or more"),
        ("encode --batch-size 0", "argument --batch-size: '0' is no whole number of 1 or more"),
        ("encode --workers -1", "argument --workers: '-1' is no whole number of 0 or more"),
        ("select --workers two", "argument --workers: 'two' is no whole number of 0 or more"),
        ("corpus --published-size 0", "argument --published-size: '0' is no whole number of 1 or more"),
        ("select --shard 1/x", "argument --shard: '1/x' is not of the form i/n"),
    ],
)
def test_a_number_that_cannot_be_is_refused_as_it_is_read(arguments, says, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments.split())
    assert left.value.code == 2
    assert says in capsys.readouterr().err
