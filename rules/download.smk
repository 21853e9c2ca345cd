# Corpora that are fetched or made of others, and models that somebody published: the outputs of `corpus` and `train`, made by another
# command. Which names those are depends on the study, so one rule a study, as in evaluate.smk; `ruleorder:` takes no computed names.
for _study in studies():
    for _verb, _kind in (("download", "downloaded"), ("join", "union")):
        _names = [c for c, declared in bound(_study).declaration.corpora.items() if declared.kind == _kind]
        if _names:
            workflow.ruleorder(f"{_verb}_{_study}", "corpus")

            rule:
                name:
                    f"{_verb}_{_study}"
                input:
                    lambda w, s=_study: bound(s).corpus_inputs(w.corpus),
                output:
                    f"results/{_study}/corpora/{{corpus}}/manifest.json",
                    f"results/{_study}/corpora/{{corpus}}/index.npy",
                    f"results/{_study}/corpora/{{corpus}}/captions.bin",
                log:
                    f"results/{_study}/logs/corpus/{{corpus}}.log",
                wildcard_constraints:
                    corpus="|".join(_names),
                params:
                    digest=lambda w, s=_study: bound(s).corpus_digest(w.corpus),
                    study=_study,
                    verb=_verb,
                threads: bound(_study).resources("corpus").threads
                resources:
                    mem_mb=bound(_study).resources("corpus").mem_mb,
                    runtime=bound(_study).resources("corpus").runtime,
                shell:
                    "helip {params.verb} --study {params.study} {wildcards.corpus} &>> {log}"

    _published = sorted(bound(_study).declaration.published)
    if _published:
        workflow.ruleorder(f"import_{_study}", "train")

        rule:
            name:
                f"import_{_study}"
            output:
                multiext(
                    f"results/{_study}/models/{{run}}/seed{{seed}}/",
                    "open_clip_model.safetensors",
                    "open_clip_config.json",
                    "curve.csv",
                    "train.json",
                ),
            log:
                f"results/{_study}/logs/import/{{run}}.seed{{seed}}.log",
            wildcard_constraints:
                run="|".join(_published),
            params:
                digest=lambda w, s=_study: bound(s).run_digest(w.run, w.seed),
                study=_study,
            threads: helip.study.FILES_ONLY.threads
            resources:
                mem_mb=helip.study.FILES_ONLY.mem_mb,
                runtime=helip.study.FILES_ONLY.runtime,
            shell:
                "helip fetch-model --study {params.study} {wildcards.run} --seed {wildcards.seed} &>> {log}"


# Before a GPU is used: every job that asks for one waits for this (`checked` in common.smk). It fails, with a line for each, when
# something is missing or not what it should be. A job like others: what counts is what the machines see that do the work.
rule check_data:
    output:
        "results/{study}/data.json",
    log:
        "results/{study}/logs/data.log",
    params:
        digest=ask(lambda s, w: s.data_digest()),
    threads: need("evaluation_set", "threads")
    resources:
        mem_mb=need("evaluation_set", "mem_mb"),
        runtime=need("evaluation_set", "runtime"),
    shell:
        "helip data check --study {wildcards.study} --out {output} &>> {log}"
