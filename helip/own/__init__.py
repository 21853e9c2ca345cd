"""A model and pairs of one's own, through the graph: `helip refine` writes a study, has Snakemake build it, and prints the answer."""
