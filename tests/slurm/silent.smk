# For test_slurm_silence.py: a job that runs through the controller's silence, one that ends in it, and one that is ready then.
import os
import sys

HERE = os.environ["HERE"]
TRAIN = f"{sys.executable} '{HERE}/training.py'"


localrules:
    all,


rule all:
    input:
        "through.out",
        "after.out",


rule through:
    output:
        "through.out",
    shell:
        "touch through.started; until [ -e answered ]; do sleep 0.1; done; {TRAIN} through 10"


rule within:
    output:
        "within.out",
    shell:
        "touch within.started; until [ -e silent ]; do sleep 0.1; done; {TRAIN} within 10"


rule after:
    input:
        "within.out",
    output:
        "after.out",
    shell:
        "{TRAIN} after 10"
