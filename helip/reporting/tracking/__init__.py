"""MLflow's view of a study: runs made from the files that jobs wrote (runs, trainings, summaries), imported into a store or a server
(importing, store), shown (server), and sent while a training goes on (live)."""
