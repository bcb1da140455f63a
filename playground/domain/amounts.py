"""Numbers in sentences for people."""


def amount(number: int, unit: str) -> str:
    """Such as "1 minute" or "1,024 minutes"."""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"
