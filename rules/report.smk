rule table:
    input:
        ask(lambda s, w: s.table_metrics(w.table)),
    output:
        "results/{study}/{table}.csv",
        "results/{study}/{table}.md",
    params:
        digest=ask(lambda s, w: s.table_digest(w.table)),
    shell:
        "helip table --study {wildcards.study} {wildcards.table}"


rule paper_table:
    input:
        "results/paper/{table}.csv",
    output:
        "results/{table}.csv",
    shell:
        "cp {input} {output}"


# Metrics files are the source of truth; this copies them, and the loss curves, into the store that `make ui` shows.
rule track:
    input:
        ask(lambda s, w: s.table_metrics(w.table)),
    output:
        "results/{study}/tracking/{table}.json",
    shell:
        "helip track --study {wildcards.study} --out {output}"
