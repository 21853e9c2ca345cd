# For test_slurm_many.py: 200 jobs at once.
rule all:
    localrule: True
    input:
        expand("done/{n}", n=range(200)),


rule one:
    output:
        "done/{n}",
    shell:
        "touch {output}"
