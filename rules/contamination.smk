# Are evaluation images among the training images? Perceptual hashes of every corpus, compared with every image of the evaluation sets.
rule fingerprint:
    input:
        **needs(Fingerprint),
    output:
        files(Fingerprint),
    log:
        log_of(Fingerprint),
    threads: threads_of(Fingerprint)
    resources:
        **asks(Fingerprint),
    params:
        digest=digest_of(Fingerprint),
    shell:
        command(Fingerprint)


rule contamination:
    input:
        **needs(CheckContamination),
    output:
        files(CheckContamination),
    log:
        log_of(CheckContamination),
    threads: threads_of(CheckContamination)
    resources:
        **asks(CheckContamination),
    params:
        digest=digest_of(CheckContamination),
    shell:
        command(CheckContamination)
