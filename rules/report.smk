# Tables, figures, verdicts and the page, from files that jobs wrote: made here and now, not as cluster jobs.
localrules:
    table,
    figure,
    claims,
    contrasts,
    report,
    answer,
    track,
    paper,


rule table:
    input:
        **needs(MakeTable),
    output:
        shown(MakeTable, "Tables"),
    log:
        log_of(MakeTable),
    params:
        digest=digest_of(MakeTable),
    shell:
        command(MakeTable)


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
        **needs(DrawFigure),
    output:
        shown(DrawFigure, "Figures"),
    log:
        log_of(DrawFigure),
    params:
        digest=digest_of(DrawFigure),
        shown=shown_of(DrawFigure),
    shell:
        command(DrawFigure)


rule claims:
    input:
        **needs(DecideClaims),
    output:
        shown(DecideClaims, "Verdicts"),
    log:
        log_of(DecideClaims),
    params:
        digest=digest_of(DecideClaims),
        shown=shown_of(DecideClaims),
    shell:
        command(DecideClaims)


rule contrasts:
    input:
        **needs(DecideContrasts),
    output:
        shown(DecideContrasts, "Verdicts"),
    log:
        log_of(DecideContrasts),
    params:
        digest=digest_of(DecideContrasts),
    shell:
        command(DecideContrasts)


rule report:
    input:
        **needs(WriteReport),
    output:
        shown(WriteReport, "Report"),
    log:
        log_of(WriteReport),
    params:
        digest=digest_of(WriteReport),
        shown=shown_of(WriteReport),
    shell:
        command(WriteReport)


# What refinement on somebody's own pairs gave (`helip refine`), in plain words.
rule answer:
    input:
        **needs(Answer),
    output:
        files(Answer),
    log:
        log_of(Answer),
    params:
        digest=digest_of(Answer),
    shell:
        command(Answer)


# Metrics files are the source of truth; this copies them, and the loss curves, into the store that `make ui` shows.
rule track:
    input:
        **needs(Track),
    output:
        files(Track),
    log:
        log_of(Track),
    params:
        digest=digest_of(Track),
    shell:
        command(Track)
