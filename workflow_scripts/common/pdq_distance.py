"""Distance between PDQ hashes (64 hex digits each). Imports no image library."""

BITS = 256
# Maximum number of bits in which copies of an image differ (TreeOfLife-200M's curation).
MAX_DISTANCE = 10

USABLE = "regexp_full_match(pdq, '[0-9a-f]{64}') AND pdq NOT IN (repeat('0', 64), repeat('f', 64))"
"""SQL: whether `pdq` is a valid hash. Failed hashes of all zeros would match each other."""

_DIGITS = 16
_WORDS = BITS // (4 * _DIGITS)
_DISTANCE = " + ".join(
    f"bit_count(xor(('0x' || substr(pdq, {1 + _DIGITS * word}, {_DIGITS}))::UBIGINT, $pdq{word}::UBIGINT))::INTEGER"
    for word in range(_WORDS)
)

NEAR = f"CASE WHEN {USABLE} THEN {_DISTANCE} <= {MAX_DISTANCE} ELSE false END"
"""SQL: whether `pdq` is within `MAX_DISTANCE` of the hash given by the parameters `near_values`."""


def near_values(pdq: str) -> dict[str, int]:
    """SQL parameters of `NEAR` for a hash."""
    return {f"pdq{word}": int(pdq[_DIGITS * word :][:_DIGITS], 16) for word in range(_WORDS)}


def distance(one: str, other: str) -> int:
    """Number of bits in which two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
