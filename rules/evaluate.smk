# A model's metrics come from one job, which starts once and reads features once; which files those are depends on the study,
# and an output cannot be a function: so one rule a study.
for _study in studies():

    rule:
        name:
            f"evaluate_{_study}"
        input:
            f"results/{_study}/models/{{run}}/seed{{seed}}/open_clip_model.safetensors",
            bound(_study).evaluation_inputs("evaluate"),
            [ancient(path) for path in bound(_study).data_check("evaluate")],
        output:
            bound(_study).metrics_outputs("evaluate"),
        log:
            f"results/{_study}/logs/evaluate/{{run}}.seed{{seed}}.log",
        params:
            digest=lambda w, s=_study: bound(s).metrics_digest(w.run, w.seed, "evaluate"),
            study=_study,
        threads: bound(_study).resources("evaluate").threads
        resources:
            mem_mb=bound(_study).resources("evaluate").mem_mb,
            runtime=bound(_study).resources("evaluate").runtime,
            gpu=bound(_study).resources("evaluate").gpu,
        shell:
            "python -m helip.launch --gpus {resources.gpu} helip evaluate --study {params.study} {wildcards.run} --seed {wildcards.seed} &>> {log}"

    if bound(_study).tasks("probe"):

        rule:
            name:
                f"probe_{_study}"
            input:
                f"results/{_study}/models/{{run}}/seed{{seed}}/open_clip_model.safetensors",
                bound(_study).evaluation_inputs("probe"),
                [ancient(path) for path in bound(_study).data_check("probe")],
            output:
                bound(_study).metrics_outputs("probe"),
            log:
                f"results/{_study}/logs/probe/{{run}}.seed{{seed}}.log",
            params:
                digest=lambda w, s=_study: bound(s).metrics_digest(w.run, w.seed, "probe"),
                study=_study,
            threads: bound(_study).resources("probe").threads
            resources:
                mem_mb=bound(_study).resources("probe").mem_mb,
                runtime=bound(_study).resources("probe").runtime,
                gpu=bound(_study).resources("probe").gpu,
            shell:
                "python -m helip.launch --gpus {resources.gpu} helip probe --study {params.study} {wildcards.run} --seed {wildcards.seed} &>> {log}"
