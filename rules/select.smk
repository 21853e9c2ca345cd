# What a start checkpoint judges before it is refined: which pairs to train on, and which hard pairs it takes for matches.
rule select:
    input:
        **needs(Select),
    output:
        files(Select),
    log:
        log_of(Select),
    threads: threads_of(Select)
    resources:
        **asks(Select),
    params:
        digest=digest_of(Select),
    shell:
        command(Select)


rule filter:
    input:
        **needs(Filter),
    output:
        files(Filter),
    log:
        log_of(Filter),
    threads: threads_of(Filter)
    resources:
        **asks(Filter),
    params:
        digest=digest_of(Filter),
    shell:
        command(Filter)
