"""Every field of the configuration is set by an experiment or documented: what nobody can know of is removed."""

import re

import helip.config.reading
from helip.config import ConfigModel


def models(kind: type[ConfigModel]) -> list[type[ConfigModel]]:
    """Every subclass of `kind` that helip.config defines."""
    direct = [k for k in kind.__subclasses__() if k.__module__.startswith("helip.config.")]
    return [m for k in direct for m in (k, *models(k))]


def code_of(markdown: str) -> str:
    """What a page writes as code: its fenced blocks and its `spans`."""
    fence = re.compile(r"```.*?```", re.S)
    return "\n".join([*fence.findall(markdown), *re.findall(r"`[^`\n]+`", fence.sub("", markdown))])


def unknown_fields(kinds: list[type[ConfigModel]], experiments: str, code: str) -> list[str]:
    """`Kind.field` of the fields that are no key of an experiment, no code of a page and no command line option of one."""

    def known(field: str) -> bool:
        option = field.replace("_", "-")
        return bool(re.search(rf"\b{field}:", experiments) or re.search(rf"\b{field}\b|--(?:[\w-]+-)?{option}\b", code))

    return [f"{kind.__name__}.{field}" for kind in kinds for field in kind.model_fields if not known(field)]


def test_every_field_is_set_by_an_experiment_or_documented(project):
    kinds = models(ConfigModel)
    assert helip.config.reading.Matrix in kinds and len(kinds) > 30
    experiments = "\n".join(path.read_text() for path in sorted((project / "experiments").rglob("*.yaml")))
    pages = [project / "README.md", *sorted((project / "docs").rglob("*.md"))]
    unknown = unknown_fields(kinds, experiments, "\n".join(code_of(page.read_text()) for page in pages))
    assert not unknown, "remove these fields with their code, or document when to set them"


def test_a_field_that_nothing_mentions_is_reported():
    class Example(ConfigModel):
        set_here: int
        an_option: int
        a_span: int
        only_prose: int

    pages = code_of("says only_prose\n```bash\nhelip mine --an-option 3\n```\nand `a_span`")
    assert unknown_fields([Example], "{set_here: 1, only_prose_too: 2}", pages) == ["Example.only_prose"]
