# `snakemake doctor --profile slurm`: before anything else, does a compute node have what it needs? Asked anew each time, of a node with a
# GPU; `--set-resources examine_node:gpu=0` asks one without.
localrules:
    doctor,


rule examine_node:
    output:
        "results/doctor.txt",
    log:
        "results/doctor.log",
    resources:
        mem_mb=4000,
        runtime=10,
        gpu=1,
    shell:
        "helip doctor --out {output} &> {log}"


rule doctor:
    input:
        "results/doctor.txt",
    shell:
        "cat {input} && rm {input}"
