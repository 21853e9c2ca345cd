rule corpus:
    output:
        "results/{study}/corpora/{corpus}/manifest.json",
        "results/{study}/corpora/{corpus}/index.npy",
        "results/{study}/corpora/{corpus}/captions.bin",
    log:
        "results/{study}/logs/corpus/{corpus}.log",
    params:
        digest=ask(lambda s, w: s.corpus_digest(w.corpus)),
    threads: need("corpus", "threads")
    resources:
        mem_mb=need("corpus", "mem_mb"),
        runtime=need("corpus", "runtime"),
    shell:
        "helip corpus --study {wildcards.study} {wildcards.corpus} &>> {log}"


rule evaluation_set:
    output:
        "results/{study}/evaluation/{set}/evaluation.json",
    log:
        "results/{study}/logs/evaluation_set/{set}.log",
    params:
        digest=ask(lambda s, w: s.evaluation_digest(w.set)),
    threads: need("evaluation_set", "threads")
    resources:
        mem_mb=need("evaluation_set", "mem_mb"),
        runtime=need("evaluation_set", "runtime"),
    shell:
        "helip evaluation-set --study {wildcards.study} {wildcards.set} &>> {log}"
