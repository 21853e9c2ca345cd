rule select:
    input:
        ask(lambda s, w: s.select_inputs(w.run, w.seed, w.selection)),
        checked("select"),
    output:
        multiext("results/{study}/selections/{run}/seed{seed}/{selection}/", "keep.npy", "scores.npy", "selection.json"),
    log:
        "results/{study}/logs/select/{run}.seed{seed}.{selection}.log",
    params:
        digest=ask(lambda s, w: s.selection_digest(w.run, w.seed, w.selection)),
    threads: need("select", "threads")
    resources:
        mem_mb=need("select", "mem_mb"),
        runtime=need("select", "runtime"),
        gpu=need("select", "gpu"),
    shell:
        "python -m helip.launch --gpus {resources.gpu} helip select --study {wildcards.study} --seed {wildcards.seed} {wildcards.run} {wildcards.selection} &>> {log}"
