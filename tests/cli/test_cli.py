"""The `helip` command itself: its groups, exit codes and messages."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from helip.cli import COMMANDS, FIRST, GRAPH, OWN, main

MAKES = {  # the JSON in what a command makes, and arguments that read `INPUT`
    "corpus": ("manifest.json", "--data INPUT"),
    "encode": ("features.json", "--encoder timm:resnet18 --corpus INPUT"),
    "select": ("selection.json", "--corpus nowhere --column INPUT"),
    "mine": ("pairs.json", "--image-features INPUT"),
    "merge-pairs": ("pairs.json", "INPUT"),
    "filter-pairs": ("pairs.json", "--corpus nowhere --model nothing --pairs INPUT"),
    "train": ("train.json", "--corpus nowhere --batch-size 8 --steps 1 --learning-rate 1 --model local-dir:INPUT"),
    "interpolate": ("train.json", "--start nothing --refined INPUT"),
    "import": ("import.json", "INPUT"),
    "pack-set": ("packed.json", "cub INPUT"),
}
WRONG = {
    "refin": "helip: 'refin': no such command; did you mean 'refine'?",
    "xyz": "helip: 'xyz': no such command; see `helip --help`",
    "fetch-model": "helip: 'fetch-model' is no longer a command but a stage of a study; see `helip run --help`",
    "data": "helip: 'data' is half a command: write `helip data check STUDY`",
    "--help-me": "helip: '--help-me': no such command; see `helip --help`",
    "--print-completion fish": "helip: --print-completion takes bash or zsh, and not 'fish'",
    "mine --kk 3": "helip mine: --kk: no such option; did you mean '--k'?",
    "mine --tau-imag=0.3": "helip mine: --tau-imag: no such option; did you mean '--tau-image'?",
    "mine --frobnicate": "helip mine: --frobnicate: no such option; see `helip mine --help`",
    "mine -k 3": "helip mine: -k: no such option; did you mean '--k'?",
    "mine --out x --k": "helip mine: --k: expected one argument",
    "mine": "helip mine: --out is missing: the folder to make; see `helip mine --help`",
    "mine extra --out x": "helip mine: 'extra' is one argument too many; see `helip mine --help`",
    "mine --study smoke cc3m": "helip mine: --study is no longer an option; "
    "the stages of a study are run by `helip run STUDY STAGE KEY ...`",
    "export-pairs --out x.csv": "helip export-pairs: PAIRS is missing: the folder of a pair set; see `helip export-pairs --help`",
    "merge-pairs --out x": "helip merge-pairs: SHARDS is missing: the folders that `helip mine --shard i/n` made; "
    "see `helip merge-pairs --help`",
    "train --start x": "helip train: --start is no longer an option; write --model MODEL, as in every other command",
    "train --corpus x --model y --out z": "helip train: --batch-size: is missing",
    "train --corpus x --model y --out z --batch-size 8 --learning-rate 1": "helip train: --steps: give either epochs or steps",
    "refine --corpus x": "helip refine: --corpus is no longer an option; `helip train` trains once on a corpus folder, with the options "
    "that `helip refine` had",
    "refine --model x@y --data z": "helip refine: --out is missing: the folder to make, with everything in it; see `helip refine --help`",
    "refine --model here/none --data z --out o": "helip refine: --model here/none: is not there; write NAME@TAG "
    "(ViT-B-32@laion2b_s34b_b79k), NAME@FILE, hf-hub:ORG/NAME, or a folder of open_clip, CLIPModel or SiglipModel",
    "refine --model x@y --data z --out o --learning-rate 0": "helip refine: --learning-rate: Input should be greater than 0",
    "refine --model x@y --data z --out o --epochs 1 --steps 2": "helip refine: --epochs: give either epochs or steps",
    "report": "helip report: STUDY is missing: a study of experiments/studies, without .yaml; see `helip report --help`",
}


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_both_groups_are_listed_with_the_next_steps(option, capsys):
    assert main([option]) == 0
    printed = capsys.readouterr().out
    graph = printed.index("the graph: a study of experiments/studies")
    for commands, part in ((OWN, printed[:graph]), (GRAPH, printed[graph:])):
        for name, (_, _, line) in commands.items():
            assert f"  {name:13} {line}\n" in part
    assert "helip demo" in printed and "helip refine --help" in printed


def test_alone_it_shows_the_ten_that_matter_and_what_is_next(capsys):
    assert main([]) == 2
    lines = capsys.readouterr().out.splitlines()
    groups = [lines.index("your own data"), lines.index("the graph: a study of experiments/studies")]
    shown = [line[2:15].strip() for line in lines[:-2] if line.startswith("  ")]
    assert shown == [name for name in (*OWN, *GRAPH) if name in FIRST] and len(shown) == 10
    assert groups[1] - groups[0] == 2 + sum(name in OWN for name in shown)
    assert f"helip --help lists all {len(COMMANDS)} commands" in lines
    assert lines[-2].startswith("next: helip demo") and lines[-1].strip().startswith("helip refine --help")


def test_a_file_that_the_system_refuses_is_one_sentence(monkeypatch, capsys):
    def refused(error):
        def run(self):
            raise error

        monkeypatch.setattr("helip.cli.graph.Doctor.run", run)
        return main(["doctor"])

    assert refused(PermissionError(13, "Permission denied", "/data/x.tar")) == 2
    assert capsys.readouterr().err == (
        "helip doctor: /data/x.tar: could not be read or written (Permission denied); free space or fix the permissions and run again\n"
    )
    with pytest.raises(OSError, match="no file of the user's"):
        refused(OSError("no file of the user's"))


def test_help_and_version_import_nothing_that_takes_time(capsys):
    heavy = "('pydantic', 'argparse', 'numpy', 'torch', 'yaml')"
    for option in ("--help", "--version"):
        code = f"import sys; from helip.cli import main; code = main(['{option}']); print(code, [m for m in {heavy} if m in sys.modules])"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert ran.stdout.splitlines()[-1] == "0 []"
    assert ran.stdout.splitlines()[0] == f"helip {version('helip')}"


def test_help_of_a_command_imports_no_torch():
    code = "import sys; from helip.cli import COMMANDS, main; [main([*name.split(), '--help']) for name in COMMANDS]"
    code += "; print([module for module in ('torch', 'numpy') if module in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("line", "sentence"), WRONG.items(), ids=WRONG.keys())
def test_wrong_use_is_one_line_and_exit_code_2(line, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"{sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_sentence_on_stderr_and_exit_code_2(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert main(["report", "nobody"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("helip report: experiments/studies/nobody.yaml: there is no study 'nobody'")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    assert main([*command.split(), "--help"]) == 0
    page = capsys.readouterr().out
    line = COMMANDS[command][2]
    assert page.startswith(f"usage: helip {command} ")
    assert f"{line[0].upper()}{line[1:]}." in " ".join(page.split())


@pytest.mark.parametrize(("command", "made", "arguments"), [(command, *row) for command, row in MAKES.items()])
def test_no_command_deletes_what_it_did_not_make_or_reads(command, made, arguments, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    for given, words in ((tmp_path / "elsewhere", f"out: has no {made}"), (out / "thesis.txt", "thesis.txt, which is read")):
        assert main([command, *arguments.replace("INPUT", str(given)).split(), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
        assert (out / "thesis.txt").read_text() == "years of work"
        (out / made).write_text("{}")


# ---------------------------------------------------------------- completion

ASK = 'source "$1"; COMP_WORDS=("${@:2}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _shtab_helip; printf "%s\\n" "${COMPREPLY[@]}"'


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["mi"], {"mine"}),
        (["data", "c"], {"check"}),
        (["mine", "--tau"], {"--tau", "--tau-image", "--tau-text"}),
        (["train", "--early-stopping-p"], {"--early-stopping-patience"}),
        (["train", "--no-d"], {"--no-drop-noise"}),
        (["mine", "--method", "f"], {"fast_hpm"}),
        (["pack-set", "s"], {"sun397"}),
    ],
)
def test_bash_completes_commands_options_and_choices(words, completed, tmp_path, capsys):
    assert main(["--print-completion", "bash"]) == 0
    (tmp_path / "helip.bash").write_text(capsys.readouterr().out)
    asked = ["bash", "-c", ASK, "bash", str(tmp_path / "helip.bash"), "helip", *words]
    assert set(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()) == completed


def test_zsh_has_a_script_too(capsys):
    assert main(["--print-completion", "zsh"]) == 0
    script = capsys.readouterr().out
    assert script.startswith("#compdef helip") and "--early-stopping-patience" in script


def test_a_deleted_working_directory_is_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    try:
        assert main(["corpus", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    finally:
        os.chdir(tmp_path)
    assert capsys.readouterr().err.endswith("the folder that this runs in was deleted; change to one that is there (cd)\n")
