rule train_encoder:
    input:
        "results/{study}/corpora/{corpus}/manifest.json",
        checked("train_encoder"),
    output:
        "results/{study}/encoders/{corpus}/{encoder}/model.safetensors",
        "results/{study}/encoders/{corpus}/{encoder}/encoder.json",
    log:
        "results/{study}/logs/train_encoder/{corpus}.{encoder}.log",
    params:
        digest=ask(lambda s, w: s.encoder_digest(w.corpus, w.encoder)),
    threads: need("train_encoder", "threads")
    resources:
        mem_mb=need("train_encoder", "mem_mb"),
        runtime=need("train_encoder", "runtime"),
        gpu=need("train_encoder", "gpu"),
    shell:
        "python -m helip.launch --gpus {resources.gpu} helip train-encoder --study {wildcards.study} {wildcards.corpus} {wildcards.encoder} &>> {log}"


rule encode:
    input:
        "results/{study}/corpora/{corpus}/manifest.json",
        ask(lambda s, w: s.encode_inputs(w.corpus, w.encoder)),
        checked("encode"),
    output:
        "results/{study}/features/{corpus}/{encoder}/features.npy",
        "results/{study}/features/{corpus}/{encoder}/features.json",
    log:
        "results/{study}/logs/encode/{corpus}.{encoder}.log",
    params:
        digest=ask(lambda s, w: s.features_digest(w.corpus, w.encoder)),
    threads: need("encode", "threads")
    resources:
        mem_mb=need("encode", "mem_mb"),
        runtime=need("encode", "runtime"),
        gpu=need("encode", "gpu"),
    shell:
        "python -m helip.launch --gpus {resources.gpu} helip encode --study {wildcards.study} {wildcards.corpus} {wildcards.encoder} &>> {log}"
