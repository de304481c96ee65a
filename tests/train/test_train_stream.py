"""The order of samples: exactly once an epoch, the same for any number of ranks and workers."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.common.errors import InputError
from workflow_scripts.train.stream import Stream, rank_positions, steps_of

counts_strategy = st.lists(st.integers(1, 9), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(counts=counts_strategy, window=st.integers(1, 9), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_an_epoch_holds_every_sample_exactly_once(counts: list[int], window: int, seed: int, epoch: int) -> None:
    stream = Stream(counts, (seed, 0), window)
    total = sum(counts)
    seen = Counter(stream.locate(position) for position in range(epoch * total, (epoch + 1) * total))
    assert seen == Counter((shard, row) for shard, count in enumerate(counts) for row in range(count))


@settings(max_examples=60, deadline=None)
@given(
    counts=counts_strategy,
    ranks=st.sampled_from([1, 2, 3, 4]),
    part=st.integers(1, 5),
    workers=st.integers(1, 3),
    first=st.integers(0, 4),
)
def test_steps_take_fixed_positions_for_any_ranks_and_workers(
    counts: list[int], ranks: int, part: int, workers: int, first: int
) -> None:
    batch, steps = ranks * part, 6
    alone = Stream(counts, (7, 1), 2)
    expected = [alone.locate(position) for position in range(first * batch, (first + steps) * batch)]
    # Each worker of each rank has its own stream and starts in the middle.
    streams = {(rank, worker): Stream(counts, (7, 1), 2) for rank in range(ranks) for worker in range(workers)}
    found = [
        streams[rank, step % workers].locate(position)
        for step in range(first, first + steps)
        for rank in range(ranks)
        for position in rank_positions(step, batch, rank, ranks)
    ]
    assert found == expected


def test_a_window_mixes_neighbouring_shards_only() -> None:
    stream = Stream([10] * 6, (0, 0), window=2)
    first = {stream.locate(position)[0] for position in range(20)}
    second = {stream.locate(position)[0] for position in range(20, 40)}
    assert len(first) == len(second) == 2
    assert not first & second
    assert [stream.locate(p)[0] for p in range(20)] != sorted(stream.locate(p)[0] for p in range(20))


def test_epochs_and_seeds_differ_in_their_order() -> None:
    stream = Stream([5, 5, 5], (0, 0), 3)
    epochs = [tuple(stream.locate(epoch * 15 + place) for place in range(15)) for epoch in range(4)]
    other = Stream([5, 5, 5], (1, 0), 3)
    assert len({*epochs, tuple(other.locate(place) for place in range(15))}) == 5


def test_a_late_position_is_located_without_iterating() -> None:
    stream = Stream([10_000] * 20_000, (0, 0), 16)
    shard, row = stream.locate(29 * 200_000_000 + 123_456_789)
    assert 0 <= shard < 20_000
    assert 0 <= row < 10_000


def test_steps_cover_the_epochs() -> None:
    assert steps_of(2, 10, 4) == 5
    assert steps_of(1, 10, 4) == 3
    assert steps_of(0.01, 10, 4) == 1


def test_a_batch_that_ranks_cannot_share_is_refused() -> None:
    with pytest.raises(InputError, match=r"\b10\b.*\b4\b"):
        rank_positions(0, 10, 0, 4)


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(InputError, match="no samples"):
        Stream([], (0, 0), 1)


@pytest.mark.parametrize("counts", [[], [0, 0]])
def test_an_empty_corpus_says_where_its_images_went(counts: list[int]) -> None:
    with pytest.raises(InputError, match=r"no samples to train on; curate/gNNN/account\.json"):
        Stream(counts, (0, 0), 4)
