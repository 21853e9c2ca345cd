"""What is done for a kind of job, one module a stage: `run(job, arguments)` returns the Point that was measured.

Each calls what the stage itself calls, on fewer samples. HelipError is the finding that the kind would fail.
"""
