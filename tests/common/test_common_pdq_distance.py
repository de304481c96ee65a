"""SQL and Python agree on which hashes are near each other."""

from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.common.pdq_distance import BITS, MAX_DISTANCE, NEAR, distance, near_values
from workflow_scripts.common.tables import connect


@settings(max_examples=50, deadline=None)
@given(
    number=st.integers(1, 2**BITS - 2),
    flipped=st.sets(st.integers(0, BITS - 1), min_size=MAX_DISTANCE - 2, max_size=MAX_DISTANCE + 2),
)
def test_the_sql_finds_what_lies_within_the_radius(number: int, flipped: set[int]) -> None:
    other = number ^ sum(1 << bit for bit in flipped)
    one, two = (f"{value:064x}" for value in (number, other))
    usable = other not in (0, 2**BITS - 1)
    with connect() as connection:
        near = connection.execute(f"SELECT {NEAR} FROM (SELECT '{two}' AS pdq)", near_values(one)).fetchall()
    assert near == [(usable and len(flipped) <= MAX_DISTANCE,)]
    assert distance(one, two) == len(flipped)


def test_a_failed_hash_is_near_none() -> None:
    with connect() as connection:
        for failed in ("0" * 64, "f" * 64, "", "x" * 64):
            near = connection.execute(f"SELECT {NEAR} FROM (SELECT '{failed}' AS pdq)", near_values("0" * 63 + "1"))
            assert near.fetchall() == [(False,)]
