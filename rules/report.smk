# Tables, figures, verdicts and the page, from files that jobs wrote: made here and now, not as cluster jobs.
localrules:
    table,
    figure,
    claims,
    contrasts,
    report,
    track,
    paper,


rule table:
    input: **needs(MakeTable)
    output: files(MakeTable)
    params: digest=digest_of(MakeTable)
    shell: command(MakeTable, log=False)


# results/table1.csv and results/report.html are those of the study `paper`.
rule paper:
    input: "results/paper/{file}"
    output: "results/{file}"
    wildcard_constraints: file=r"table\d+\.csv|report\.html"
    shell: "cp {input} {output}"


# What a study lacks the runs for, its report leaves out.
rule figure:
    input: **needs(DrawFigure)
    output: files(DrawFigure)
    params: digest=digest_of(DrawFigure)
    shell: command(DrawFigure, log=False)


rule claims:
    input: **needs(DecideClaims)
    output: files(DecideClaims)
    params: digest=digest_of(DecideClaims)
    shell: command(DecideClaims, log=False)


rule contrasts:
    input: **needs(DecideContrasts)
    output: files(DecideContrasts)
    params: digest=digest_of(DecideContrasts)
    shell: command(DecideContrasts, log=False)


rule report:
    input: **needs(WriteReport)
    output: files(WriteReport)
    params: digest=digest_of(WriteReport)
    shell: command(WriteReport, log=False)


# Metrics files are the source of truth; this copies them, and the loss curves, into the store that `make ui` shows.
rule track:
    input: **needs(Track)
    output: files(Track)
    params: digest=digest_of(Track)
    shell: command(Track, log=False)
