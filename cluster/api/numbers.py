"""DynamoDB's numbers: decimals of 38 significant digits, 1E-130 to 9.99…E+125, and their order as bytes (pure)."""

import re
from decimal import Context, Decimal

from cluster.errors import Invalid

MAX_DIGITS = 38
MAX_EXPONENT = 125
MIN_EXPONENT = -130
_MAX_TEXT = 512
_PLAIN = re.compile(r"(?:-?[1-9][0-9]{0,36}|0)\Z")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?\Z")
_EXACT = Context(prec=400)
_EXPONENT_BIAS = 1024


def _checked(number: Decimal) -> Decimal:
    """``number`` without trailing zeros, if DynamoDB can hold it."""
    if not number:
        return Decimal(0)
    if number.adjusted() > MAX_EXPONENT:
        raise Invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
    if number.adjusted() < MIN_EXPONENT:
        raise Invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
    sign, digits, exponent = number.as_tuple()
    kept = len(digits)
    while digits[kept - 1] == 0:
        kept -= 1
    if kept > MAX_DIGITS:
        raise Invalid("Attempting to store more than 38 significant digits in a Number")
    return Decimal((sign, digits[:kept], int(exponent) + len(digits) - kept))


def parse(text: str) -> Decimal:
    """The number in ``text``; raises :class:`Invalid` in DynamoDB's words."""
    if len(text) > _MAX_TEXT or _NUMBER.match(text) is None:
        shown = text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
        raise Invalid(f"The parameter cannot be converted to a numeric value: {shown}")
    return _checked(Decimal(text))


def normal(text: str) -> str:
    """The one way to write the number in ``text``: no exponent, no needless zeros; equal numbers have equal texts."""
    if _PLAIN.match(text):
        return text
    return write(parse(text))


def write(number: Decimal) -> str:
    """``number`` in its normal form."""
    return format(_checked(number), "f")


def add(left: str, right: str) -> str:
    """Their sum, exactly; raises :class:`Invalid` if it has more than 38 digits."""
    return write(_EXACT.add(Decimal(left), Decimal(right)))


def subtract(left: str, right: str) -> str:
    """Their difference, exactly; raises :class:`Invalid` if it has more than 38 digits."""
    return write(_EXACT.subtract(Decimal(left), Decimal(right)))


def sortable(text: str) -> bytes:
    """Bytes whose order is the order of numbers: sign, biased exponent, digits; all inverted for negative numbers."""
    sign, digits, exponent = parse(text).as_tuple()
    if digits == (0,):
        return b"\x01"
    magnitude = (len(digits) + int(exponent) + _EXPONENT_BIAS).to_bytes(2, "big") + bytes(digits)
    if sign:
        # The end mark is above every inverted digit, so that -1.2 sorts above -1.23.
        return b"\x00" + bytes(255 - byte for byte in magnitude) + b"\xff"
    return b"\x02" + magnitude
