"""The `helip` command. Light: a command's module, and what it imports, is read when that command is asked for."""

import importlib
import io
import os
import signal
import sys
from collections.abc import Container

from helip.errors import HelipError, nearest

Commands = dict[str, tuple[str, str, str]]  # name -> module of helip.cli, class in it, what the command does

OWN: Commands = {
    "corpus": ("data", "Corpus", "index shards of image-text pairs, or pack a table of them: a corpus"),
    "encode": ("data", "Encode", "encode the images or the captions of a corpus by a pre-trained model"),
    "select": ("select", "Select", "score the pairs of a corpus with the CLIP to be refined and keep the best"),
    "mine": ("pairs", "Mine", "find the hard pairs of every image-text pair"),
    "merge-pairs": ("pairs", "MergePairs", "join the shards of a mining job"),
    "filter-pairs": ("pairs", "FilterPairs", "leave out hard pairs that a checkpoint takes for matches: false negatives, most likely"),
    "export-pairs": ("trainers", "ExportPairs", "write hard pairs as parquet, CSV or JSON lines, by row or by sample key"),
    "export-mask": ("trainers", "ExportMask", "write what a selection keeps as parquet, CSV or JSON lines, by sample key"),
    "export-data": ("trainers", "ExportData", "write selected pairs, or tuples with hard captions, as other trainers read them"),
    "refine": ("refine", "Refine", "refine any CLIP on your own pairs, in one command, with an honest answer"),
    "demo": ("refine", "Demo", "see it at work in two minutes, from nothing: a small world, a small CLIP, and `helip refine`"),
    "train": ("models", "Train", "one training of a checkpoint on your own corpus, with pairs and a selection made before"),
    "interpolate": ("models", "Interpolate", "mix the weights of a refined model and of its start (WiSE-FT); nothing is trained"),
    "evaluate": ("models", "Evaluate", "zero-shot classification or retrieval of a model on one set"),
    "probe": ("models", "Probe", "linear probe of a model's image features on one set"),
    "import": ("models", "Import", "turn a published SLIP or DeCLIP checkpoint into an open_clip folder"),
    "export": ("models", "Export", "write a model for open_clip, transformers or ONNX"),
    "push": ("models", "Push", "send a model's folder to the Hugging Face hub"),
    "pack-set": ("data", "PackSet", "write CUB, SUN397 or Caltech101 as CLIP benchmark reads it, with a fixed split"),
}
GRAPH: Commands = {
    "run": ("run", "Run", "make one artefact of a study, as its job does"),
    "plan": ("graph", "Plan", "count a study's jobs and estimate GPU-hours, disk and memory, before anything runs"),
    "runs": ("graph", "Runs", "list a study's runs with question, state, seeds, cost and tables, and what it leaves out and why"),
    "rehearse": ("rehearsal", "Rehearse", "run every kind of a study's jobs on a handful of samples: what would fail, and what it costs"),
    "data check": ("graph", "DataCheck", "see whether all data of a study are there and what they should be, before a GPU is used"),
    "doctor": ("graph", "Doctor", "say what this machine offers, each finding ok or a problem with its remedy"),
    "report": ("graph", "Report", "put a study's verdicts, tables and figures on one self-contained page"),
    "track": ("graph", "Track", "import a study's finished trainings and metrics into the MLflow store, without doubles"),
    "ui": ("graph", "Ui", "show the MLflow store in a browser"),
}
COMMANDS: Commands = OWN | GRAPH
FIRST = ("corpus", "select", "mine", "refine", "evaluate", "run", "plan", "data check", "doctor", "report")  # shown by `helip` alone
STAGES = (  # commands of earlier versions that are stages now
    "evaluation-set", "download", "join", "fetch-model", "train-encoder", "table", "claims", "figure", "fingerprint",
    "contamination",
)  # fmt: skip
NEXT = """next: helip demo                   a refinement from nothing, in two minutes on two cores
      helip refine --help          refine your own CLIP on your own pairs: --model, --data and --out are enough"""


def main(argv: list[str] | None = None) -> int:
    """Runs a command line and returns the exit code: 2 for wrong use and bad input, one sentence on stderr each."""
    arguments = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no UTF-8
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:  # a cluster job has its shells ignore it: a command without state to save ends
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        match arguments:
            case []:
                print(overview(FIRST))
                return 2
            case ["-h" | "--help" | "help", *_]:
                print(overview())
                return 0
            case ["--version", *_]:
                from importlib.metadata import version

                print(f"helip {version('helip')}")
                return 0
            case ["--print-completion", *shell]:
                from helip.cli.completion import script

                print(script(shell))
                return 0
        if arguments[0] == "run" and "HELIP_WARM" in os.environ:
            from helip.warm import delegate

            if (code := delegate(arguments)) is not None:
                return code
        return _run(arguments)
    except HelipError as error:
        print(f"helip: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def overview(names: Container[str] = COMMANDS) -> str:
    """Returns those commands of both groups with a line each, and what to do next. By default: all commands."""
    lines = ["usage: helip COMMAND [options]     helip COMMAND --help says all of one command"]
    for title, commands in (("your own data", OWN), ("the graph: a study of experiments/studies", GRAPH)):
        lines += ["", title, *(f"  {name:13} {line}" for name, (_, _, line) in commands.items() if name in names)]
    more = "helip --version; helip --print-completion bash|zsh"
    lines += ["", more if names is COMMANDS else f"helip --help lists all {len(COMMANDS)} commands", "", NEXT]
    return "\n".join(lines)


def _run(arguments: list[str]) -> int:
    name = next((name for name in COMMANDS if arguments[: len(name.split())] == name.split()), None)
    if name is None:
        raise HelipError(_unknown(arguments[0]))
    from helip.cli import command

    try:
        _check_here()
        one, rest = _class(name), arguments[len(name.split()) :]
        if "-h" in rest or "--help" in rest:
            print(command.parser_of(name, COMMANDS[name][2], one).format_help(), end="")
            return 0
        return command.parse(name, COMMANDS[name][2], one, rest).run() or 0
    except HelipError as error:
        print(f"helip {name}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "helip"):
            raise
        print(f"helip {name}: needs the package {package}: pip install 'helip[lab]' installs what the commands need", file=sys.stderr)
        return 2
    except OSError as error:
        from helip.io import MISPLACED, REFUSED, refused

        if error.errno not in REFUSED and not (error.errno in MISPLACED and error.filename):
            raise
        print(f"helip {name}: {refused(error)}", file=sys.stderr)
        return 2


def _check_here() -> None:
    """Libraries end a process whose folder was deleted, without a word that helps."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise HelipError("the folder that this runs in was deleted; change to one that is there (cd)") from None


def _class(name: str):
    module, one, _ = COMMANDS[name]
    return getattr(importlib.import_module(f"helip.cli.{module}"), one)


def _unknown(word: str) -> str:
    if word in STAGES:
        return f"'{word}' is no longer a command but a stage of a study; see `helip run --help`"
    if word == "data":
        return "'data' is half a command: write `helip data check STUDY`"
    return f"'{word}': no such command{nearest(word, COMMANDS) or '; see `helip --help`'}"
