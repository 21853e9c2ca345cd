"""The site file, slurm/site.yaml: what one cluster wants of its jobs. See slurm/site.example.yaml.

`default` holds for every job, `gpu` for those with GPUs, `rules` for those of one rule; the later wins. All of them win over what a
rule or a profile says in resources of the same names.
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from snakemake_interface_common.exceptions import WorkflowError

from helip.config.reading import read_yaml
from helip.errors import HelipError

SITE = Path("slurm/site.yaml")  # where it usually lies


class Wish(BaseModel):
    """These are the things that can be set of a job."""

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
    srun: tuple[str, ...] = ()  # further arguments of the job's srun: ["--cpu-bind=none"]
    setup: tuple[str, ...] = ()  # lines of shell before it: ["module load cuda/12.4"]
    without: tuple[str, ...] = ()  # sbatch flags that this site refuses: [cpus-per-task]
    rename: dict[str, str] = {}  # sbatch flags that it wants under another name: {gres: gpus}
    extra: dict[str, str | int | bool] = {}  # any other sbatch flag by its long name: {exclude: "n[1-3]", mail-type: END}

    def over(self, other: "Wish") -> "Wish":
        """Returns this wish with the other's values where this one sets none; extra and renamed flags are joined."""
        merged = {**other.model_dump(exclude_unset=True), **self.model_dump(exclude_unset=True)}
        return Wish(**{**merged, "extra": {**other.extra, **self.extra}, "rename": {**other.rename, **self.rename}})


class Site(BaseModel):
    """The site file: wishes for every job, for those with GPUs and for single rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    default: Wish = Wish()
    gpu: Wish = Wish()
    rules: dict[str, Wish] = {}

    def wish(self, rules: list[str], gpus: int) -> Wish:
        """Returns what the site says of a job of these rules (several in a group) that wants so many GPUs."""
        wish = self.gpu.over(self.default) if gpus else self.default
        studies = {path.stem for path in Path("experiments/studies").glob("*.yaml")}
        for name in sorted(self.rules, key=len):
            # evaluate means evaluate_paper as well, but train not train_encoder
            if any(rule == name or rule.removeprefix(f"{name}_") in studies for rule in rules):
                wish = self.rules[name].over(wish)
        return wish

    def unused(self, rules: Iterable[str]) -> list[str]:
        """Returns the rules that the site speaks of and that a workflow of these rules does not have: misspelt, most likely."""
        known = list(rules)
        return [name for name in self.rules if not any(rule == name or rule.startswith(f"{name}_") for rule in known)]


def read_site(path: Path | None) -> Site:
    """Reads the site file, or the one in its usual place, which may be missing: the site then asks for nothing.

    WorkflowError in one sentence is raised for a named file that is missing and for one that does not fit.
    """
    file = path or SITE
    if path is None and not file.exists():
        return Site()
    try:
        return read_yaml(file, Site)
    except HelipError as error:
        raise WorkflowError(f"{error}; slurm/site.example.yaml shows what can be set") from None
