# A pre-training, a refinement, or the import of a published checkpoint. The resume state is not an output: Snakemake would delete it before
# a restart (see Training in docs/explanation/architecture.md).
rule train:
    input:
        **needs(Train),
    output:
        files(Train),
    log:
        log_of(Train),
    threads: threads_of(Train)
    resources:
        **asks(Train),
    params:
        digest=digest_of(Train),
    shell:
        command(Train)


# Which mixture of a refined model and its start is best on a validation set.
rule sweep:
    input:
        **needs(Sweep),
    output:
        files(Sweep),
    log:
        log_of(Sweep),
    threads: threads_of(Sweep)
    resources:
        **asks(Sweep),
    params:
        digest=digest_of(Sweep),
    shell:
        command(Sweep)


# A refined model and its start in one: the outputs of `train`, made in a moment. Which runs those are depends on the study, so one rule a
# study; `ruleorder:` takes no computed names.
for _name, _study in studies().items():
    if _mixed := [run.name for run in _study.runs.values() if run.interpolate]:
        workflow.ruleorder(f"interpolate_{_name}", "train")

        rule:
            name:
                f"interpolate_{_name}"
            input:
                **needs(Interpolate),
            output:
                files(Interpolate),
            log:
                log_of(Interpolate),
            wildcard_constraints:
                study=_name,
                run="|".join(_mixed),
            localrule: True
            params:
                digest=digest_of(Interpolate),
            shell:
                command(Interpolate)
