def mining(resource):
    """What the job that makes a pair set asks of the scheduler: need("mine", resource) where it does the mining itself."""
    return ask(lambda s, w: getattr(s.mining_resources(w.pairs), resource))


# A pair set of a large corpus (`pairs_per_shard` of the study's resources) is mined by many of these, each on its own.
rule mine_shard:
    input:
        ask(lambda s, w: s.mine_inputs(w.pairs)),
        checked("mine"),
    output:
        temp(directory("results/{study}/pair_shards/{pairs}/{i}of{n}")),
    log:
        "results/{study}/logs/mine/{pairs}.{i}of{n}.log",
    params:
        digest=ask(lambda s, w: s.pairs_digest(w.pairs)),
    wildcard_constraints:
        i=r"\d+",
        n=r"\d+",
    threads: need("mine", "threads")
    resources:
        mem_mb=need("mine", "mem_mb"),
        runtime=need("mine", "runtime"),
        gpu=need("mine", "gpu"),
    shell:
        "python -m helip.launch --gpus {resources.gpu} helip mine --study {wildcards.study} --shard {wildcards.i}/{wildcards.n} {wildcards.pairs} &>> {log}"


rule mine:
    input:
        ask(lambda s, w: s.mine_inputs(w.pairs)),
        ask(lambda s, w: s.mine_shards(w.pairs)),
        checked("mine"),
    output:
        multiext("results/{study}/pairs/{pairs}/", "pairs.json", "ids.npy", "scores.npy", "offsets.npy", "noise.npy"),
    log:
        "results/{study}/logs/mine/{pairs}.log",
    params:
        digest=ask(lambda s, w: s.pairs_digest(w.pairs)),
        command=ask(lambda s, w: "merge-pairs" if s.mine_shards(w.pairs) else "mine"),
    threads: mining("threads")
    resources:
        mem_mb=mining("mem_mb"),
        runtime=mining("runtime"),
        gpu=mining("gpu"),
    shell:
        "python -m helip.launch --gpus {resources.gpu} helip {params.command} --study {wildcards.study} {wildcards.pairs} &>> {log}"
