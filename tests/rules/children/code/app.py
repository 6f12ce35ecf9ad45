"""Code of a function, for the fixtures of E9050."""


def handler(event: object, context: object) -> None:
    """What Lambda calls."""
