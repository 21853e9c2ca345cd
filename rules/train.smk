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


# Hard pairs that the start checkpoint takes for matches, left out: a pair set of each start and seed.
rule filter_pairs:
    input:
        ask(lambda s, w: s.filter_inputs(w.run, w.seed, w.pairs)),
        checked("filter"),
    output:
        multiext("results/{study}/filtered/{run}/seed{seed}/{pairs}/", "pairs.json", "ids.npy", "scores.npy", "offsets.npy", "noise.npy"),
    log:
        "results/{study}/logs/filter/{run}.seed{seed}.{pairs}.log",
    params:
        digest=ask(lambda s, w: s.filter_digest(w.run, w.seed, w.pairs)),
    threads: need("filter", "threads")
    resources:
        mem_mb=need("filter", "mem_mb"),
        runtime=need("filter", "runtime"),
        gpu=need("filter", "gpu"),
    shell:
        "python -m helip.launch --gpus {resources.gpu} helip filter-pairs --study {wildcards.study} --seed {wildcards.seed} {wildcards.run} {wildcards.pairs} &>> {log}"


# A refined model and its start in one: the outputs of `train`, made in a moment. Which runs those are depends on the study, so one
# rule a study, as in download.smk.
for _study in studies():
    _interpolations = [r.name for r in bound(_study).runs.values() if r.interpolate]
    if _interpolations:
        workflow.ruleorder(f"interpolate_{_study}", "train")

        rule:
            name:
                f"interpolate_{_study}"
            localrule: True
            input:
                lambda w, s=_study: bound(s).train_inputs(w.run, w.seed),
            output:
                multiext(
                    f"results/{_study}/models/{{run}}/seed{{seed}}/",
                    "open_clip_model.safetensors",
                    "open_clip_config.json",
                    "curve.csv",
                    "train.json",
                ),
            log:
                f"results/{_study}/logs/train/{{run}}.seed{{seed}}.log",
            wildcard_constraints:
                run="|".join(_interpolations),
            params:
                digest=lambda w, s=_study: bound(s).run_digest(w.run, w.seed),
                study=_study,
            shell:
                "helip interpolate --study {params.study} --seed {wildcards.seed} {wildcards.run} &>> {log}"
