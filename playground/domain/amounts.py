"""Numbers in sentences for people."""


def amount(number: int, unit: str) -> str:
    """Such as "1 minute" or "1,024 minutes"."""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def size(count: float) -> str:
    """Bytes, such as "512 bytes", "98.4 MB" or "4.37 GB"; a MB is a million of them."""
    for unit, of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= of:
            return f"{count / of:.3g} {unit}" if count < 999.5 * of else f"{count / of:,.0f} {unit}"
    return f"{count:.0f} bytes"


def duration(seconds: float) -> str:
    """Such as "40 s", "3 min 20 s" or "1 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
