"""What all declarations share."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0)]
WorldKind = Literal["first", "second"]  # the words, drawings and habits of a generated world
Cosine = Annotated[float, Field(ge=-1, le=1)]


def _each_once(seeds: tuple[int, ...]) -> tuple[int, ...]:
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise ValueError(f"seed {seed} is given twice, and one training would count as two: give each once")
    return seeds


Seeds = Annotated[tuple[Seed, ...], AfterValidator(_each_once)]


class ConfigModel(BaseModel):
    """This is the base of every declaration: frozen, without unknown keys, without NaN or infinity.

    `excluded_from_digest` names the fields that change no result and are left out of digests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    excluded_from_digest: ClassVar[frozenset[str]] = frozenset(  # change no result: left out of digests
        {"label", "question", "save_every", "obtain", "expected", "timeout", "retries", "processes"}
    )
