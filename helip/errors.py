"""The one exception a user should see: a sentence naming the file, the entry and the remedy. The CLI prints it and leaves with exit code 2."""


class HelipError(Exception):
    """Bad input: wrong declaration, wrong file, wrong size. Never raised for a bug of ours."""
