# Encoders that a study trains itself, and the features of a corpus by any encoder.
rule train_encoder:
    input: **needs(TrainEncoder)
    output: files(TrainEncoder)
    log: log_of(TrainEncoder)
    params: digest=digest_of(TrainEncoder)
    threads: threads_of(TrainEncoder)
    resources: **asks(TrainEncoder)
    shell: command(TrainEncoder)


rule encode:
    input: **needs(Encode)
    output: files(Encode)
    log: log_of(Encode)
    params: digest=digest_of(Encode)
    threads: threads_of(Encode)
    resources: **asks(Encode)
    shell: command(Encode)
