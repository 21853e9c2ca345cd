"""The `helip` command itself: exit codes and messages."""

import subprocess
import sys

import pytest

from helip.cli import _modules, main


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


def test_asking_for_help_imports_no_torch():
    code = "import sys, helip.cli; helip.cli._modules(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
