"""What a profile or the command line can say to the plugin: `submitit-requeues: 5`, `--submitit-requeues 5`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """These are the plugin's options, `--submitit-...` on the command line."""

    cluster: str = field(default="slurm", metadata={"help": "Where jobs run: 'slurm', or 'local' for processes of this machine."})
    logdir: Optional[Path] = field(  # noqa: UP045  Snakemake cannot read `Path | None`
        default=None, metadata={"help": "Folder of job logs and results, shared with the nodes. Default: .snakemake/submitit"}
    )
    site: Optional[Path] = field(  # noqa: UP045
        default=None, metadata={"help": "The site file (see slurm/site.example.yaml). Default: slurm/site.yaml if it exists"}
    )
    requeues: int = field(
        default=3, metadata={"help": "How often a job is requeued after its time limit or a lost node; a rule's `requeues` comes first."}
    )
    warning_s: int = field(default=120, metadata={"help": "Seconds from the warning of a job to its time limit: a training saves in them."})
    poll_s: int = field(default=20, metadata={"help": "Seconds between two questions to Slurm; each asks for all jobs at once."})
    patience_s: int = field(default=3600, metadata={"help": "Seconds that a submission waits for a Slurm that does not answer."})
    ask_failed_nodes: bool = field(default=False, metadata={"help": "Ask nodes that failed a job again; without it they are left out."})
    array: int = field(default=500, metadata={"help": "Most jobs in one Slurm array (below the cluster's MaxArraySize); 1: no arrays."})
