"""The `helip` command itself: exit codes and messages."""

import subprocess
import sys

import pytest

from helip.cli import _modules, main

MAKES = {  # the JSON in what a command makes, and arguments that read `INPUT`
    "corpus": ("manifest.json", "--table INPUT"),
    "encode": ("features.json", "--encoder timm:resnet18 --corpus INPUT"),
    "select": ("selection.json", "--corpus nowhere --column INPUT"),
    "mine": ("pairs.json", "--image-features INPUT"),
    "merge-pairs": ("pairs.json", "INPUT"),
    "filter-pairs": ("pairs.json", "--corpus nowhere --model nothing --pairs INPUT"),
    "refine": ("train.json", "--corpus nowhere --batch-size 8 --steps 1 --learning-rate 1 --start local-dir:INPUT"),
    "interpolate": ("train.json", "--start nothing --refined INPUT"),
    "import": ("import.json", "INPUT"),
    "pack-set": ("packed.json", "cub INPUT"),
}


def test_bad_input_is_one_sentence_on_stderr_and_exit_code_2(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert main(["table", "--study", "nobody", "table1"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("helip table: experiments/studies/nobody.yaml: there is no study 'nobody'")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("command", sorted(_modules()))
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert _modules()[command].COMMANDS[command] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("command", "about", "arguments"), [(command, *said) for command, said in MAKES.items()])
def test_no_command_deletes_what_it_did_not_make_or_what_it_reads(command, about, arguments, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    for given, words in ((tmp_path / "elsewhere", f"out: has no {about}"), (out / "thesis.txt", "thesis.txt, which is read")):
        assert main([command, *arguments.replace("INPUT", str(given)).split(), "--out", str(out)]) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1
        assert (out / "thesis.txt").read_text() == "years of work"
        (out / about).write_text("{}")


def test_asking_for_help_imports_no_torch():
    code = "import sys, helip.cli; helip.cli._modules(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
