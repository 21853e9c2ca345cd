"""Snakemake 9 executor plugin: every job of a rule that is not local becomes a submitit job (`snakemake --executor submitit`).

settings  what the profile or the command line says (`--submitit-...`)
site      slurm/site.yaml: what this cluster wants (partition, account, GPU model), per rule
request   a job's resources and the site as the parameters of a submitit executor
job       what runs on the node: the child process, signals, GPU ids
stops     why Slurm told it to stop: a time limit, or a preemption
planning  a Snakemake job as what will be submitted for it
submission  hands it to submitit, several alike as one array
queue     what Slurm, or this machine, knows of submitted jobs: one query for all of them
ledger    which job was submitted for which work, on disk
recovery  what a new controller takes up of one that was killed
reasons   why a job died, for its user
executor  all of it as a Snakemake executor

Snakemake inspects the annotations of ExecutorSettings: `from __future__ import annotations` in this package breaks it.
"""

from snakemake_interface_executor_plugins.settings import CommonSettings

from .executor import Executor
from .settings import ExecutorSettings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=True,
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=1,
    pass_group_args=True,
)
