# `snakemake results/paper/rehearsal.html --profile slurm`: every kind of a study's jobs once, on a node such as trainings get. One node:
# what trains on several is rehearsed with the GPUs of one, as slurm/site.yaml has it, or eight.
rule rehearse:
    output:
        "results/{study}/rehearsal.html",
    log:
        "results/{study}/logs/rehearse.log",
    threads: lambda w: load(w.study).resources("train").threads
    resources:
        gpu=lambda w: min(gpus_of_a_node(), load(w.study).resources("train").gpu),
        mem_mb=lambda w: load(w.study).resources("train").mem_mb,
        runtime=240,
    params:
        processes=lambda w, resources: max(1, resources.gpu),
    shell:
        "python -m helip.launch --gpus {resources.gpu} helip rehearse {wildcards.study} --processes {params.processes} --out {output} &> {log} || [ -e {output} ]"
