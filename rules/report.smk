import helip.reporting.inputs as reporting


localrules:
    claims,
    figure,
    report,


rule table:
    input:
        ask(lambda s, w: reporting.table_inputs(s, w.table)),
    output:
        multiext("results/{study}/{table}", ".csv", ".md", ".tex"),
    params:
        digest=ask(lambda s, w: s.table_digest(w.table)),
    wildcard_constraints:
        table=r"(first/)?table\d+|figure4",  # figure 4 plots numbers, and they are a table too
    shell:
        "helip table --study {wildcards.study} {wildcards.table}"


# results/table1.csv and results/report.html are those of the study `paper`.
rule paper:
    input:
        "results/paper/{file}",
    output:
        "results/{file}",
    wildcard_constraints:
        file=r"table\d+\.csv|report\.html",
    shell:
        "cp {input} {output}"


# What a study lacks the runs for, its report leaves out.
rule figure:
    input:
        ask(lambda s, w: reporting.figure_inputs(s, w.figure)),
    output:
        multiext("results/{study}/{figure}", ".png", ".pdf"),
    params:
        digest=ask(lambda s, w: reporting.figure_digest(s, w.figure)),
    wildcard_constraints:
        figure=r"figure\d+",
    shell:
        "helip figure --study {wildcards.study} {wildcards.figure}"


rule claims:
    input:
        ask(lambda s, w: reporting.claims_inputs(s)),
    output:
        "results/{study}/claims.csv",
        "results/{study}/claims.md",
    params:
        digest=ask(lambda s, w: reporting.claims_digest(s)),
    shell:
        "helip claims --study {wildcards.study}"


rule report:
    input:
        ask(lambda s, w: reporting.report_inputs(s)),
    output:
        "results/{study}/report.html",
    params:
        digest=ask(lambda s, w: reporting.report_digest(s)),
    shell:
        "helip report --study {wildcards.study}"


# Metrics files are the source of truth; this copies them, and the loss curves, into the store that `make ui` shows.
rule track:
    input:
        ask(lambda s, w: s.table_metrics(w.table)),
    output:
        "results/{study}/tracking/{table}.json",
    shell:
        "helip track --study {wildcards.study} --out {output}"
