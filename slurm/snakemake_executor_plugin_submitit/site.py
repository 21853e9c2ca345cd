"""The site file, slurm/site.yaml: what one cluster wants of its jobs. See slurm/site.example.yaml.

`default` holds for every job, `gpu` for those with GPUs, `rules` for those of one rule; the later wins. All of them win over what a
rule or a profile says in resources of the same names.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from snakemake_interface_common.exceptions import WorkflowError


class Wish(BaseModel):
    """What can be said of a job."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None  # a node feature, e.g. v100
    gpu_model: str | None = None  # the type in `--gres=gpu:TYPE:N`
    gpus_per_node: int | None = Field(None, gt=0)  # a job that wants more of them gets several nodes
    nodes: int | None = Field(None, gt=0)
    runtime: int | None = Field(None, gt=0)  # minutes
    mem_mb: int | None = Field(None, gt=0)
    requeues: int | None = Field(None, ge=0)
    array_parallelism: int | None = Field(None, gt=0)  # how many of an array run at once
    extra: dict[str, str | int | bool] = {}  # any other sbatch flag by its long name: {exclude: "n[1-3]", mail-type: END}

    def over(self, other: "Wish") -> "Wish":
        merged = {**other.model_dump(exclude_unset=True), **self.model_dump(exclude_unset=True)}
        return Wish(**{**merged, "extra": {**other.extra, **self.extra}})


class Site(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    default: Wish = Wish()
    gpu: Wish = Wish()
    rules: dict[str, Wish] = {}

    def wish(self, rules: list[str], gpus: int) -> Wish:
        """What the site says of a job of these rules (several in a group) that wants so many GPUs."""
        wish = self.gpu.over(self.default) if gpus else self.default
        studies = {path.stem for path in Path("experiments/studies").glob("*.yaml")}
        for name in sorted(self.rules, key=len):
            # evaluate means evaluate_paper as well, but train not train_encoder
            if any(rule == name or rule.removeprefix(f"{name}_") in studies for rule in rules):
                wish = self.rules[name].over(wish)
        return wish


def read_site(path: Path | None) -> Site:
    """The site file; the one in its usual place may be missing, one that is named may not."""
    file = path or Path("slurm/site.yaml")
    if path is None and not file.exists():
        return Site()
    try:
        value: Any = yaml.safe_load(file.read_text()) or {}
        return Site.model_validate(value)
    except OSError as error:
        raise WorkflowError(f"{file}: the site file cannot be read ({error.strerror}); copy slurm/site.example.yaml there") from None
    except yaml.YAMLError as error:
        raise WorkflowError(f"{file}: not readable as YAML ({' '.join(str(error).split())})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = " -> ".join(map(str, first["loc"])) or "the file"
        raise WorkflowError(f"{file}: {where}: {first['msg']}; slurm/site.example.yaml shows what can be said") from None
