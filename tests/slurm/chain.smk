# For test_slurm_controller.py: jobs that run, end, or become outdated while no controller watches; and small ones for a group.
import os
import sys

HERE = os.environ["HERE"]
TRAIN = f"{sys.executable} '{HERE}/training.py'"


localrules:
    all,
    total,


rule all:
    input:
        "running.out",
        "ended.out",
        "outdated.out",


rule running:
    output:
        "running.out",
    shell:
        "touch running.started; until [ -e taken_up ]; do sleep 0.1; done; {TRAIN} running 10"


rule ended:
    output:
        "ended.out",
    shell:
        "for i in $(seq 6000); do [ -e go ] && break; sleep 0.1; done; {TRAIN} ended 10"


rule outdated:
    output:
        "outdated.out",
    params:
        steps=os.environ.get("STEPS", "9999"),
    shell:
        "{TRAIN} outdated {params.steps}"


# By this name the tracked profile groups it.
rule evaluation_set:
    output:
        "small{n}.txt",
    shell:
        "echo {wildcards.n} of $SLURM_JOB_ID > {output}"


rule total:
    input:
        expand("small{n}.txt", n=range(6)),
    output:
        "total.txt",
    shell:
        "cat {input} > {output}; echo at ${{SLURM_JOB_ID:-home}} >> {output}"
