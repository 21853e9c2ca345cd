# Corpora (generated, indexed, fetched or joined), evaluation sets, and the check of both.
rule corpus:
    input:
        **needs(BuildCorpus),
    output:
        files(BuildCorpus),
    log:
        log_of(BuildCorpus),
    threads: threads_of(BuildCorpus)
    resources:
        **asks(BuildCorpus),
    params:
        digest=digest_of(BuildCorpus),
    shell:
        command(BuildCorpus)


rule evaluation_set:
    input:
        **needs(BuildEvaluationSet),
    output:
        files(BuildEvaluationSet),
    log:
        log_of(BuildEvaluationSet),
    threads: threads_of(BuildEvaluationSet)
    resources:
        **asks(BuildEvaluationSet),
    params:
        digest=digest_of(BuildEvaluationSet),
    shell:
        command(BuildEvaluationSet)


# Before a GPU is used: every job that asks for one waits for this. It fails, with a line for each, when something is missing or not what
# it should be. It is a job like others: what counts is what the machines see that do the work.
rule check_data:
    input:
        **needs(CheckData),
    output:
        files(CheckData),
    log:
        log_of(CheckData),
    threads: threads_of(CheckData)
    resources:
        **asks(CheckData),
    params:
        digest=digest_of(CheckData),
    shell:
        command(CheckData)
