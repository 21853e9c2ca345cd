"""The one exception a user should see: a sentence naming file, entry and remedy. The CLI prints it and leaves with exit code 2."""


class HelipError(Exception):
    """Bad input: wrong declaration, wrong file, wrong size. Never raised for a bug of ours."""
