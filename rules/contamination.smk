# Are evaluation images among the training images? Perceptual hashes of every corpus, compared with every image of the evaluation sets.
rule fingerprint:
    input:
        "results/{study}/corpora/{corpus}/manifest.json",
    output:
        multiext("results/{study}/fingerprints/{corpus}/", "fingerprints.npy", "fingerprints.json"),
    log:
        "results/{study}/logs/fingerprint/{corpus}.log",
    params:
        digest=ask(lambda s, w: s.fingerprint_digest(w.corpus)),
    threads: need("fingerprint", "threads")
    resources:
        mem_mb=need("fingerprint", "mem_mb"),
        runtime=need("fingerprint", "runtime"),
    shell:
        "helip fingerprint --study {wildcards.study} {wildcards.corpus} &>> {log}"


rule contamination:
    input:
        ask(lambda s, w: [s.fingerprint_dir(c) / "fingerprints.npy" for c in s.own_corpora]),
        ask(lambda s, w: [s.evaluation_dir(e) / "evaluation.json" for e in s.declaration.evaluation]),
    output:
        "results/{study}/contamination.json",
        "results/{study}/contamination.csv",
    log:
        "results/{study}/logs/contamination.log",
    params:
        digest=ask(lambda s, w: s.contamination_digest()),
    threads: need("contamination", "threads")
    resources:
        mem_mb=need("contamination", "mem_mb"),
        runtime=need("contamination", "runtime"),
    shell:
        "helip contamination --study {wildcards.study} &>> {log}"
