# A model's metrics come from one job, which starts once and reads features once; which files those are depends on the study, and an
# output cannot be a function: so one rule a study. A shell line is read when its job starts: it may not name the loop's variables.
for _name, _study in studies().items():

    rule:
        name:
            f"evaluate_{_name}"
        input:
            **needs(Evaluate),
        output:
            files(Evaluate, _study),
        log:
            log_of(Evaluate),
        wildcard_constraints:
            study=_name,
        threads: threads_of(Evaluate)
        resources:
            **asks(Evaluate),
        params:
            digest=digest_of(Evaluate),
        shell:
            command(Evaluate)

    if Probe.files_of(_study):

        rule:
            name:
                f"probe_{_name}"
            input:
                **needs(Probe),
            output:
                files(Probe, _study),
            log:
                log_of(Probe),
            wildcard_constraints:
                study=_name,
            threads: threads_of(Probe)
            resources:
                **asks(Probe),
            params:
                digest=digest_of(Probe),
            shell:
                command(Probe)
