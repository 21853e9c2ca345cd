# A model's metrics come from one job, which starts once and reads features once; which files those are depends on the study, and an
# output cannot be a function: so one rule a study.
for _name, _study in studies().items():
    for _stage in (Evaluate, Probe):
        if _stage.files_of(_study):

            rule:
                name: f"{_stage.name}_{_name}"
                wildcard_constraints: study=_name
                input: **needs(_stage)
                output: files(_stage, _study)
                log: log_of(_stage)
                params: digest=digest_of(_stage)
                threads: threads_of(_stage)
                resources: **asks(_stage)
                shell: command(_stage)
