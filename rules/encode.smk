# Encoders that a study trains itself, the features of a corpus by any encoder, and what frozen trunks say of it.
rule train_encoder:
    input:
        **needs(TrainEncoder),
    output:
        files(TrainEncoder),
    log:
        log_of(TrainEncoder),
    threads: threads_of(TrainEncoder)
    resources:
        **asks(TrainEncoder),
    params:
        digest=digest_of(TrainEncoder),
    shell:
        command(TrainEncoder)


rule encode:
    input:
        **needs(Encode),
    output:
        files(Encode),
    log:
        log_of(Encode),
    threads: threads_of(Encode)
    resources:
        **asks(Encode),
    params:
        digest=digest_of(Encode),
    shell:
        command(Encode)


rule encode_views:
    input:
        **needs(EncodeViews),
    output:
        files(EncodeViews),
    log:
        log_of(EncodeViews),
    threads: threads_of(EncodeViews)
    resources:
        **asks(EncodeViews),
    params:
        digest=digest_of(EncodeViews),
    shell:
        command(EncodeViews)
