# The resume state is not an output: Snakemake would delete it before a restart (see Training in docs/architecture.md).
rule train:
    input:
        ask(lambda s, w: s.train_inputs(w.run, w.seed)),
        checked("train"),
    output:
        multiext(
            "results/{study}/models/{run}/seed{seed}/", "open_clip_model.safetensors", "open_clip_config.json", "curve.csv", "train.json"
        ),
    log:
        "results/{study}/logs/train/{run}.seed{seed}.log",
    params:
        digest=ask(lambda s, w: s.run_digest(w.run, w.seed)),
    threads: need("train", "threads")
    resources:
        mem_mb=need("train", "mem_mb"),
        runtime=need("train", "runtime"),
        gpu=need("train", "gpu"),
    shell:
        "python -m helip.launch --gpus {resources.gpu} helip train --study {wildcards.study} {wildcards.run} --seed {wildcards.seed} &>> {log}"
