# Every artefact of the paper as a file target: results/<study>/table1.csv, results/<study>/pairs/<pairs>/pairs.json, ...
# The studies are experiments/studies/*.yaml; results/table<n>.csv is the table of the study `paper`.
from snakemake.logging import logger
from snakemake.utils import min_version

import helip.failures

min_version("9.0")

failed_jobs = helip.failures.follow(logger)


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/encode.smk"
include: "rules/select.smk"
include: "rules/mine.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/contamination.smk"
include: "rules/rehearse.smk"
include: "rules/report.smk"
include: "rules/doctor.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        "results/miniature/first/table1.csv",


# Beside a snakemake that submits jobs no other works in this folder.
# Snakemake 9 limits the rate of jobs unless told otherwise (--max-jobs-per-timespan), and then looks through all open jobs once a second
# for every job that ever finished: hundreds of times a second by the end of a long study.
onstart:
    share_folder()
    workflow.scheduler.job_rate_limiter = None


# Each failed job's own sentence and its log are the last words on the screen, with --quiet too.
onerror:
    failed_jobs.print_at_exit()
