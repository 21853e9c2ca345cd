"""What several sub-commands take alike: numbers, and options of one's own beside a study."""

import pytest
import torch

from helip.cli import main
from helip.cli.options import torch_device
from helip.config import GeneratedCorpus
from helip.data.build import build_corpus
from helip.errors import HelipError

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
        ("refine --seed -1", "argument --seed: '-1' is no whole number of 0 or more"),
        ("select --shard 1/x", "argument --shard: '1/x' is not of the form i/n"),
    ],
)
def test_a_number_that_cannot_be_is_refused_as_it_is_read(arguments, says, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments.split())
    assert left.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("refine", "--corpus x --start x --out x --batch-size 8 --steps 1 --learning-rate 1"),
        ("filter-pairs", "--corpus x --pairs x --model x --out x"),
        ("select", "--corpus CORPUS --model x --out x"),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence(command, more, tmp_path, monkeypatch, capsys):
    build_corpus(GeneratedCorpus(size=4), tmp_path / "corpus")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert main([command, *more.replace("CORPUS", "corpus").split(), "--device", "cuda"]) == 2
    said = capsys.readouterr().err
    assert said == f"helip {command}: --device cuda: torch sees 0 GPUs here; leave --device out, or run where there are more\n"


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [torch_device(asked) for asked in (None, "cpu", "cuda", "cuda:1")] == ["cuda", "cpu", "cuda", "cuda:1"]
    for asked, says in {"cuda:2": "torch sees 2 GPUs", "cuba": "none that torch knows"}.items():
        with pytest.raises(HelipError, match=f"--device {asked}: {says}"):
            torch_device(asked)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert torch_device(None) == "cpu"
