"""The model card of a refinement, from what its run measured: data, arms, intervals and limits (arXiv 1810.03993)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from helip.models.reference import HUB

TAGS = ["clip", "hard-pair-refinement", "arxiv:2305.05208"]
START = "start"  # the arm of a model that nothing was better than
ALWAYS = (  # of every refinement, whatever its numbers
    "What the start learnt from its own data, its biases included, is still in it.",
    "The intervals cover the items of the sets and, where several seeds were trained, the seeds; they say nothing of other data.",
)


@dataclass(frozen=True)
class Measured:
    """One number of one arm. gain: over the arm it is compared with, in points, with its paired 95 % interval; None where there is none."""

    arm: str
    set: str
    metric: str
    value: float  # in per cent
    gain: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_shown(self) -> bool:
        """Whether the interval of the gain leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class CardFacts:
    """What a card says. Sentences end with a full stop; `data` and `training` are words and values, in their order."""

    name: str
    start: str  # the checkpoint that was refined, as the commands write it
    arm: str  # which one this model is
    answer: str  # whether it helped, in plain words with the interval
    data: Sequence[tuple[str, str]]
    training: Sequence[tuple[str, str]]
    measured: Sequence[Measured]
    compared_with: str = "plain continued training"
    limits: Sequence[str] = ()
    formats: Sequence[str] = field(default=("open_clip",))
    license: str | None = None  # of the hub's identifiers; the start's and the data's decide it


def model_card(facts: CardFacts) -> str:
    """Returns the card as Markdown with the hub's front matter. Nothing is in it that the facts do not say."""
    sections = {
        "": [facts.answer],
        "What it is": [_what(facts)],
        "How it is used": [_use(form) for form in facts.formats],
        "Data": [_list(facts.data)],
        "Training": [_list(facts.training)],
        "Results": _results(facts),
        "Limits": ["\n".join(f"- {sentence}" for sentence in (*facts.limits, *ALWAYS))],
    }
    text = "\n\n".join("\n\n".join([f"## {title}"] * bool(title) + parts) for title, parts in sections.items() if any(parts))
    return f"---\n{_front_matter(facts)}---\n\n# {facts.name}\n\n{text}\n"


def _what(facts: CardFacts) -> str:
    if facts.arm == START:
        return f"`{facts.start}` itself: no arm of its refinement (HELIP, arXiv 2305.05208) was better on validation."
    return f"`{facts.start}`, trained further as the arm **{facts.arm}** (HELIP, arXiv 2305.05208)."


def _front_matter(facts: CardFacts) -> str:
    from huggingface_hub import ModelCardData

    library = "open_clip" if "open_clip" in facts.formats else facts.formats[0]
    base = facts.start.removeprefix(HUB) if facts.start.startswith(HUB) else None
    data = ModelCardData(
        library_name=library, pipeline_tag="zero-shot-image-classification", tags=list(TAGS), base_model=base, license=facts.license
    )
    return f"{data.to_yaml()}\n"


def _use(form: str) -> str:
    match form:
        case "transformers":
            code = "model = AutoModel.from_pretrained(FOLDER)\nprocessor = AutoProcessor.from_pretrained(FOLDER)"
            return f"```python\nfrom transformers import AutoModel, AutoProcessor\n\n{code}\n```"
        case "onnx":
            return "`image.onnx` and `text.onnx` give features of unit length; `towers.json` says what goes in."
        case _:
            load = 'model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{FOLDER}")'
            return f'```python\nimport open_clip\n\n{load}\ntokenize = open_clip.get_tokenizer(f"local-dir:{{FOLDER}}")\n```'


def _list(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- {word}: {value}" for word, value in rows)


def _results(facts: CardFacts) -> list[str]:
    if not facts.measured:
        return ["Nothing was measured."]
    head = ["arm", "set", "metric", "value", f"over {facts.compared_with}, 95 % interval"]
    rows = [[m.arm, m.set, m.metric, f"{m.value:.2f}", _gain(m)] for m in facts.measured]
    lines = [head, ["---", "---", "---", "---:", "---:"], *([_cell(value) for value in row] for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    note = "A gain whose interval holds 0 is not shown by these data. Values are in per cent, gains in points."
    return [table, note]


def _gain(measured: Measured) -> str:
    if measured.gain is None or measured.low is None or measured.high is None:
        return ""
    numbers = f"{measured.gain:+.2f} [{measured.low:+.2f}, {measured.high:+.2f}]"
    return f"**{numbers}**" if measured.is_shown else f"{numbers}, not shown"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
