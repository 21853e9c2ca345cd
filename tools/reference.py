"""The pages of the reference that are generated: commands, configuration, artefacts and the API. Each function returns a page's text."""

import pkgutil

import helip
from helip.cli import COMMANDS, GRAPH, OWN, _class
from helip.cli.command import Command, Option, groups_of, parser_of
from helip.config import ConfigModel, Run, StudyConfig
from helip.stages import STAGES, Stage
from tools.fields import config_models, facts_of

# The packages in the order of the work; others come behind them. The commands have a page of their own.
ORDER = ("mining", "losses", "selection", "training", "encoders", "data", "models", "evaluation", "synthetic", "config", "study", "stages")
PACKAGES = sorted(one.name for one in pkgutil.iter_modules(helip.__path__) if one.ispkg and one.name != "cli")
API = (*ORDER, *(name for name in PACKAGES if name not in ORDER))
GENERATED = "<!-- This page is generated: do not edit it. -->"


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Returns a Markdown table."""
    cells = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |" for row in cells)


# ---------------------------------------------------------------- commands


def commands_page() -> str:
    """Returns every command with all its options, as its parser has them."""
    parts = [GENERATED, "# Commands", "`helip COMMAND --help` prints the same for one command."]
    for title, group in (("For your own data", OWN), ("For the graph: a study of `experiments/studies`", GRAPH)):
        parts += [f"## {title}", *(_command(name) for name in group)]
    return "\n\n".join(parts) + "\n"


def _command(name: str) -> str:
    one, line = _class(name), COMMANDS[name][2]
    usage = " ".join((parser_of(name, line, one).usage or "").split())
    paragraphs = [" ".join(part.split()) for part in (one.__doc__ or "").split("\n\n")]
    return "\n\n".join([f"### helip {name}", f"{line[0].upper()}{line[1:]}.", *paragraphs, f"```text\n{usage}\n```", *_options(one)])


def _options(command: type[Command]) -> list[str]:
    """A table for each group of options; the title stands over each but the command's own."""
    parts = []
    for title, options in groups_of(command).items():
        parts += [f"**{title}**"] if title != "options" else []
        parts.append(table(("option", "value", "what"), [(f"`{one.name}`", _value(one), one.help.replace("%%", "%")) for one in options]))
    return parts


def _value(option: Option) -> str:
    if option.choices:
        return " or ".join(f"`{choice}`" for choice in option.choices)
    return "a switch" if option.kind is bool else f"`{option.metavar}`"


# ---------------------------------------------------------------- configuration


def configuration_page() -> str:
    """Returns every field of every declaration that a YAML file may hold."""
    intro = (
        "A study is a file of `experiments/studies/`: its keys are those of [StudyConfig](#studyconfig). A run is an entry of"
        " `experiments/paper/runs.yaml`: its keys are those of [Run](#run). An unknown key is refused, with the nearest known one."
    )
    models = sorted(config_models(), key=lambda m: (m is not StudyConfig, m is not Run, m.__name__))
    return "\n\n".join([GENERATED, "# Configuration", intro, *map(_model, models)]) + "\n"


def _model(model: type[ConfigModel]) -> str:
    rows = [(f"`{one.name}`", one.type, one.default, one.sentence) for one in facts_of(model)]
    paragraphs = [" ".join(part.split()) for part in (model.__doc__ or "").split("\n\n")]
    return "\n\n".join([f"## {model.__name__}", *paragraphs, table(("field", "type", "default", "what"), rows)])


# ---------------------------------------------------------------- artefacts


def artefacts_page() -> str:
    """Returns where each stage puts what it makes."""
    intro = (
        "Each stage makes one artefact for each key, in a folder under `results/<study>/`. Ask for any file by its path,"
        " `snakemake results/miniature/pairs/cc3m.hpm.dino_vits8.sentence/pairs.json`, or make one artefact alone with `helip run`."
    )
    return "\n\n".join([GENERATED, "# Artefacts", intro, *map(_stage, STAGES)]) + "\n"


def _stage(stage: type[Stage]) -> str:
    files = stage.files if isinstance(stage.files, tuple) else ()
    folder = f"results/{{study}}/{stage.path}".rstrip("/")
    facts = [
        f"- Command: `{' '.join(['helip run STUDY', stage.name, *map(str.upper, stage.key_fields())])}`",
        f"- Folder: `{folder}/`",
        f"- Files: {', '.join(f'`{file}`' for file in files)}" if files else "- Files: one for each set and task that the study declares",
        f"- GPUs: {'a study may give it some, under `resources`' if stage.takes_gpu else 'none'}",
    ]
    return "\n\n".join([f"## {stage.name}", " ".join((stage.__doc__ or "").split()), "\n".join(facts)])


# ---------------------------------------------------------------- API


def api_pages() -> dict[str, str]:
    """Returns the page of each package of the API, by its name; mkdocstrings fills them from the docstrings."""
    public = [name for name in helip.__all__ if not name.startswith("_")]
    names = "\n".join(f"- [`helip.{name}`][{getattr(helip, name).__module__}.{name}]" for name in public)
    intro = "These names are offered by `import helip` itself. Everything else is imported from its module."
    pages = {"index": "\n\n".join([GENERATED, "# The library", intro, names]) + "\n"}
    for package in API:
        modules = [f"helip.{package}", *_modules(package)]
        pages[package] = "\n\n".join([GENERATED, f"# helip.{package}", *(f"::: {module}" for module in modules)]) + "\n"
    return pages


def _modules(package: str) -> list[str]:
    """The public modules of a package, one by one; those of packages within it too."""
    parent = getattr(__import__(f"helip.{package}"), package)
    walked = pkgutil.iter_modules(parent.__path__, f"helip.{package}.")
    return [one.name for one in walked if not one.ispkg and not one.name.rpartition(".")[2].startswith("_")]


def pages() -> dict[str, str]:
    """Returns every generated page of the site: its path under docs/ and its text."""
    return {
        "reference/commands.md": commands_page(),
        "reference/configuration.md": configuration_page(),
        "reference/artefacts.md": artefacts_page(),
        **{f"reference/api/{name}.md": text for name, text in api_pages().items()},
    }
