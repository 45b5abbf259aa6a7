"""Ways to misuse an HTTP door over a plain socket. Each says how many answers there must be, or that none need come."""

import gzip
import random
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from tests.fuzz import mutations
from tests.fuzz.doors import QUESTIONS, Door

TOKEN = "fuzz-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """``sends``: pieces, with a pause after each but the last when ``slow``. ``answers``: how many must come, 0 when none need to."""

    name: str
    sends: tuple[bytes, ...]
    answers: int = 1
    slow: bool = False
    good: bool = False


def head(door: Door, *lines: str, method: str = "POST", token: str | None = TOKEN) -> bytes:
    """A request's head, with the empty line."""
    found = [f"{method} {door.path} HTTP/1.1", "Host: collector", f"Content-Type: {door.kind}"]
    if token is not None:
        found.append(f"Authorization: Bearer {token}")
    if door.encoding and not any(line.startswith("Content-Encoding") for line in lines):
        found.append(f"Content-Encoding: {door.encoding}")
    return ("\r\n".join([*found, *lines]) + "\r\n\r\n").encode("latin-1", "replace")


def whole(door: Door, body: bytes, *lines: str, token: str | None = TOKEN) -> bytes:
    """A request with its length."""
    return head(door, f"Content-Length: {len(body)}", *lines, token=token) + body


def good(rng: random.Random, door: Door, number: int) -> Attack:
    """No attack: what would be taken."""
    return Attack(name="good", sends=(whole(door, door.valid(rng, number)),), good=True)


def mutated(rng: random.Random, door: Door, number: int) -> Attack:
    """A body that was changed."""
    change = mutations.any_of if door.kind == "application/json" else mutations.as_bytes
    return Attack(name="mutated", sends=(whole(door, change(rng, door.valid(rng, number))),))


def stranger(rng: random.Random, door: Door, number: int) -> Attack:
    """Without the token, or with another."""
    token = rng.choice((None, "", "fuzz-toke", "fuzz-token2", "\xff", "x" * 4000))
    return Attack(name="stranger", sends=(whole(door, door.valid(rng, number), token=token),))


def oversized(rng: random.Random, door: Door, _number: int) -> Attack:
    """Says that it will be too long; now and then it really begins."""
    size = rng.choice((17 * 1024 * 1024, 2**40))
    return Attack(name="oversized", sends=(head(door, f"Content-Length: {size}") + b"x" * rng.choice((0, 1000)),))


def chunked(rng: random.Random, door: Door, number: int) -> Attack:
    """In chunks, well or badly made."""
    body = door.valid(rng, number)
    cut = rng.randrange(len(body))
    pieces = [b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part]
    ending = rng.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"zz\r\n", b"-1\r\n\r\n", b"ffffffffffffffffff\r\n"))
    sends = (head(door, "Transfer-Encoding: chunked") + b"".join(pieces) + ending,)
    return Attack(name="chunked", sends=sends, answers=1 if ending == b"0\r\n\r\n" else 0)


def headers(rng: random.Random, door: Door, number: int) -> Attack:
    """Very long, very many, or contradicting each other."""
    body = door.valid(rng, number)
    lines = rng.choice((
        (f"X-Long: {'x' * 20_000}",),
        tuple(f"X-{i}: {i}" for i in range(5000)),
        ("Content-Length: 1", "Content-Length: 2"),
        ("Transfer-Encoding: chunked, chunked",),
        ("Content-Length: -5",),
        ("X-Bad\x00: 1",),
    ))  # fmt: skip
    return Attack(name="headers", sends=(head(door, *lines) + body,), answers=0)


def encoded(rng: random.Random, door: Door, number: int) -> Attack:
    """A bomb, or an encoding that nobody knows."""
    body = gzip.compress(b" " * 1_000_000 + door.valid(rng, number))
    lines = (f"Content-Encoding: {rng.choice(('gzip', 'deflate', 'br', 'zstd', 'snappy', 'gzip, gzip'))}",)
    return Attack(name="encoded", sends=(whole(door, body, *lines),))


def pipelined(rng: random.Random, door: Door, number: int) -> Attack:
    """Several at once on one connection."""
    count = rng.randint(2, 8)
    return Attack(
        name="pipelined", sends=(b"".join(whole(door, door.valid(rng, number)) for _ in range(count)),), answers=count
    )


def dripping(rng: random.Random, door: Door, number: int) -> Attack:
    """Byte by byte, never to the end: slow loris."""
    sent = whole(door, door.valid(rng, number))
    pieces = tuple(sent[i : i + 1] for i in range(rng.randint(5, 40)))
    return Attack(name="dripping", sends=pieces, answers=0, slow=True)


def hung_up(rng: random.Random, door: Door, number: int) -> Attack:
    """Half a request, then gone."""
    sent = whole(door, door.valid(rng, number))
    return Attack(name="hung_up", sends=(sent[: rng.randrange(1, len(sent))],), answers=0)


def noise(rng: random.Random, _door: Door, _number: int) -> Attack:
    """What is no HTTP."""
    choices = (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        rng.randbytes(200) + b"\r\n\r\n",
    )
    return Attack(name="noise", sends=(rng.choice(choices),), answers=0)


def asked(rng: random.Random, door: Door, _number: int) -> Attack:
    """A question with strange parameters, or another method."""
    numbers = ("0", "1", "-1", "1e9", "nan", "inf", "9" * 30, "²", "0x10", "")
    texts = ("zone", "zone,endpoint", "x" * 200, "%00", "..%2f..", quote("ü\x00\n"), "'")
    path = rng.choice(QUESTIONS).replace("{n}", rng.choice(numbers)).replace("{s}", quote(rng.choice(texts), safe="%"))
    method = rng.choice(("GET",) * 8 + ("PUT", "DELETE", "PATCH", "OPTIONS"))
    lines = f"{method} {quote(path, safe='/?&=%,')} HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    return Attack(name="asked", sends=(lines.encode(),))


Make = Callable[[random.Random, Door, int], Attack]
ATTACKS: tuple[tuple[Make, int], ...] = (
    (good, 10), (mutated, 50), (stranger, 6), (oversized, 3), (chunked, 6), (headers, 4), (encoded, 3), (pipelined, 4), (dripping, 2),
    (hung_up, 4), (noise, 3), (asked, 10),
)  # fmt: skip
"""Each with its weight."""


def any_of(rng: random.Random, doors: tuple[Door, ...], number: int) -> tuple[Door, Attack]:
    """One of them, at one of the doors."""
    (make,) = rng.choices([make for make, _ in ATTACKS], [weight for _, weight in ATTACKS])
    door = rng.choice(doors)
    return door, make(rng, door, number)
