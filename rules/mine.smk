rule mine:
    input:
        ask(lambda s, w: s.mine_inputs(w.pairs)),
        checked("mine"),
    output:
        multiext("results/{study}/pairs/{pairs}/", "pairs.json", "ids.npy", "scores.npy", "offsets.npy", "noise.npy"),
    log:
        "results/{study}/logs/mine/{pairs}.log",
    params:
        digest=ask(lambda s, w: s.pairs_digest(w.pairs)),
    threads: need("mine", "threads")
    resources:
        mem_mb=need("mine", "mem_mb"),
        runtime=need("mine", "runtime"),
        gpu=need("mine", "gpu"),
    shell:
        "python -m helip.launch --gpus {resources.gpu} helip mine --study {wildcards.study} {wildcards.pairs} &>> {log}"
