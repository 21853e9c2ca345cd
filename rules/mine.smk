# A pair set of a large corpus (`pairs_per_shard` of the study's resources) is mined by many of these, each on its own.
rule mine_shard:
    input:
        **needs(MineShard),
    output:
        temp(directory(files(MineShard)[0])),
    log:
        log_of(MineShard),
    threads: threads_of(MineShard)
    resources:
        **asks(MineShard),
    params:
        digest=digest_of(MineShard),
    shell:
        command(MineShard)


rule mine:
    input:
        **needs(Mine),
    output:
        files(Mine),
    log:
        log_of(Mine),
    threads: threads_of(Mine)
    resources:
        **asks(Mine),
    params:
        digest=digest_of(Mine),
    shell:
        command(Mine)


# How good a pair set is by what mining did not see: swapped captions, and captions beyond the first.
rule judge:
    input:
        **needs(JudgePairs),
    output:
        files(JudgePairs),
    log:
        log_of(JudgePairs),
    threads: threads_of(JudgePairs)
    resources:
        **asks(JudgePairs),
    params:
        digest=digest_of(JudgePairs),
    shell:
        command(JudgePairs)
