"""A training's data: mixtures, the published layout, pinned corpora, the small split, staging."""

import json
import tarfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflow_scripts.common import clip
from workflow_scripts.common.captions import TEXT_TYPES
from workflow_scripts.common.config.train import CorpusShards, TrainSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.report.corpus import describe_corpus
from workflow_scripts.shards.export_reference_layout import export_reference_layout
from workflow_scripts.train.data import TrainingData, corpus_digest, print_digest
from workflow_scripts.train.index_tars import index_tars
from workflow_scripts.train.loader import Batches, make_loader
from workflow_scripts.train.ranks import Ranks
from workflow_scripts.train.staging import StagingArea
from workflow_scripts.train.stream import Mixture, Stream, rank_positions, shares_of

SETTINGS = TrainSettings(epochs=2, global_batch=8, precision="fp32", allow_cpu=True, shuffle_window=3)


@pytest.fixture
def batches_of(start: Path, tmp_path: Path) -> Callable[..., Batches]:
    """Batches of one rank over some corpora."""
    tokenizer = clip.load(f"local-dir:{start}").tokenizer

    def make(
        *corpora: CorpusShards,
        recipe: TrainSettings = SETTINGS,
        staging: StagingArea | None = None,
        size: int = 1,
        rank: int = 0,
    ) -> Batches:
        data = TrainingData(corpora, None, recipe, staging)
        data.prepare(tmp_path)
        datasets = data.datasets("train", tmp_path, tokenizer, size)
        ranks = Ranks(rank, size, rank, size, dist.HashStore())
        return Batches(
            datasets, size=32, types=recipe.text_types, type_per=recipe.text_type_per, seed=recipe.seed, ranks=ranks
        )

    return make


@pytest.fixture
def published(corpus, tmp_path: Path) -> CorpusShards:
    """The test corpus in the published layout, indexed as tars of any origin."""
    export_reference_layout(shards=corpus.shards / "train", labels=corpus.labels, out_dir=tmp_path / "tars")
    index_tars(tars=str(tmp_path / "tars" / "*.tar"), work=tmp_path / "work", out_dir=tmp_path / "indexed" / "train")
    return CorpusShards(shards=[str(tmp_path / "indexed")])


def equal(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> bool:
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def uuids(folder: Path) -> list[str]:
    return pq.read_table(folder / "index.parquet")["uuid"].to_pylist()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(case=st.tuples(st.sampled_from([1, 2, 4]), st.integers(1, 3), st.integers(1, 7), st.integers(0, 3)))
def test_the_uuids_of_an_epoch_are_the_manifests(
    corpus, batches_of: Callable[..., Batches], case: tuple[int, int, int, int]
) -> None:
    """For any number of ranks, batch size, window and epoch, and wherever in a batch the epoch begins."""
    ranks, part, window, epoch = case
    batch = ranks * part
    recipe = SETTINGS.model_copy(update={"global_batch": batch, "shuffle_window": window})
    expected = uuids(corpus.shards / "train")
    begin, end = epoch * len(expected), (epoch + 1) * len(expected)
    biology = batches_of(corpus.biology, recipe=recipe, size=ranks).datasets[0]
    seen = [
        biology.uuid(position)
        for step in range(begin // batch, -(-end // batch))
        for rank in range(ranks)
        for position in rank_positions(step, batch, rank, ranks)
        if begin <= position < end
    ]
    assert Counter(seen) == Counter(expected)


@settings(max_examples=60, deadline=None)
@given(
    corpora=st.lists(
        st.tuples(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 9)), min_size=2, max_size=3
    ),
    seed=st.integers(0, 9),
)
def test_a_mixture_keeps_its_shares_in_every_batch_and_each_corpus_its_epochs(
    corpora: list[tuple[list[int], int]], seed: int
) -> None:
    streams = [Stream(counts, (seed, 2, number), 2) for number, (counts, _) in enumerate(corpora)]
    shares = [share for _, share in corpora]
    mixture = Mixture(streams, shares, (seed, 3))
    batch = sum(shares)
    steps = 3 * max(len(stream) for stream in streams)
    found = [mixture.locate(position) for position in range(steps * batch)]
    owners = [sum(shard >= first for first in mixture.first_shards[1:]) for shard, _ in found]
    for step in range(steps):
        assert Counter(owners[step * batch : (step + 1) * batch]) == Counter(dict(enumerate(shares)))
    for number, stream in enumerate(streams):
        mine = [place for place, owner in zip(found, owners, strict=True) if owner == number]
        first = mixture.first_shards[number]
        everything = {(first + shard, row) for shard, count in enumerate(stream.counts) for row in range(count)}
        passes = [mine[begin : begin + len(stream)] for begin in range(0, len(mine), len(stream))]
        assert passes
        assert all(set(one_pass) == everything for one_pass in passes if len(one_pass) == len(stream))


def test_shares_are_the_weights_in_whole_samples() -> None:
    assert shares_of([0.5, 0.5], 8) == [4, 4]
    assert shares_of([3, 1], 10) == [8, 2]
    assert shares_of([1, 1, 1], 10) == [4, 3, 3]
    assert sum(shares_of([0.7, 0.2, 0.1], 90112)) == 90112
    with pytest.raises(InputError, match=r"weight.*\b0\.01\b.*\b8 pairs"):
        shares_of([0.99, 0.01], 8)


def test_two_corpora_with_weights_fill_a_batch_by_them_for_any_ranks(
    corpus, make_corpus: Callable, batches_of: Callable[..., Batches]
) -> None:
    other = make_corpus(train=20, kinds=3)
    first = corpus.biology.model_copy(update={"weight": 3.0})
    second = other.biology.model_copy(update={"weight": 1.0})
    batches = batches_of(first, second)
    theirs = set(uuids(other.shards / "train")) - set(uuids(corpus.shards / "train"))
    ours = set(uuids(corpus.shards / "train"))
    for step in range(6):
        found = batches.uuids(step)
        assert [sum(uuid in some for uuid in found) for some in (ours, theirs)] in ([6, 2], [8, 0])
    whole = batches[2]
    halves = [batches_of(first, second, size=2, rank=rank)[2] for rank in range(2)]
    assert torch.equal(torch.cat([half.tokens for half in halves]), whole.tokens)


def test_weights_are_given_to_all_or_none(corpus) -> None:
    weighted = corpus.biology.model_copy(update={"weight": 1.0})
    with pytest.raises(InputError, match=r"weight.*none"):
        TrainingData((corpus.biology, weighted), None, SETTINGS).check(1)


def test_the_published_layout_gives_the_batches_of_our_own(
    corpus, published: CorpusShards, batches_of: Callable[..., Batches]
) -> None:
    for per in ("step", "sample"):
        recipe = SETTINGS.model_copy(update={"text_type_per": per})
        ours, theirs = batches_of(corpus.biology, recipe=recipe), batches_of(published, recipe=recipe)
        for step in (0, 3, 7):
            assert equal(ours[step], theirs[step])


def test_tars_are_indexed_once_hashed_and_accounted_for(corpus, published: CorpusShards, tmp_path: Path) -> None:
    folder = Path(published.shards[0]) / "train"
    manifest = pq.read_table(folder / "manifest.parquet").to_pylist()
    assert sum(row["samples"] for row in manifest) == 40
    assert {row["bytes"] for row in manifest} == {path.stat().st_size for path in tmp_path.glob("tars/*.tar")}
    damaged = tmp_path / "more" / "a.tar"
    damaged.parent.mkdir()
    with tarfile.open(tmp_path / "tars" / "shard-000000.tar") as tar, tarfile.open(damaged, "w") as out:
        for member in tar:
            # The first sample loses a caption; another suffix is upper-cased.
            if member.name.endswith("taxon_com.txt") and member.offset < 20_000:
                continue
            data = tar.extractfile(member)
            member.name = member.name.replace("sci.txt", "SCI.txt")
            out.addfile(member, data)
    index_tars(tars=str(damaged), work=tmp_path / "work", out_dir=tmp_path / "short")
    account = json.loads((tmp_path / "short" / "account.json").read_text())
    assert (account["rows_in"], account["kept"], account["dropped"]) == (7, 6, {"member_missing": 1})
    with damaged.open("r+b") as file:
        file.truncate(damaged.stat().st_size // 2 // 512 * 512 - 100)
    with pytest.raises(InputError, match=r"a\.tar: damaged"):
        index_tars(tars=str(damaged), work=tmp_path / "work", out_dir=tmp_path / "short")
    with pytest.raises(InputError, match="no matching files"):
        index_tars(tars=str(tmp_path / "none" / "*.tar"), work=tmp_path / "work", out_dir=tmp_path / "short")


def test_a_corpus_that_is_not_the_pinned_one_is_refused(corpus, published: CorpusShards) -> None:
    for shards in (corpus.biology, published):
        right = corpus_digest(shards)
        TrainingData((shards.model_copy(update={"digest": right}),), None, SETTINGS).check(1)
        with pytest.raises(InputError, match=f"({right}.*0000|0000.*{right})"):
            TrainingData((shards.model_copy(update={"digest": "0000"}),), None, SETTINGS).check(1)


def test_one_digest_is_written_printed_and_accepted(
    corpus, published: CorpusShards, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "world"
    given = {"shards/g000": corpus.shards, "taxonomy/labels.parquet": corpus.labels, "replay": corpus.replay}
    for name, made in given.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(made)
    shards, labels, replay = (folder / name for name in given)
    identity = tmp_path / "corpus.json"
    describe_corpus(
        name="world", shards=(shards,), labels=labels, replay=replay, out=identity,
        composition=tmp_path / "composition.parquet",
    )  # fmt: skip
    digest = json.loads(identity.read_text())["digest"]
    pinned = CorpusShards(shards=[str(shards)], labels=str(labels), replay=str(replay), digest=digest)
    TrainingData((pinned,), None, SETTINGS).check(1)
    for place, expected in {folder: digest, Path(published.shards[0]): corpus_digest(published)}.items():
        print_digest(corpus=place)
        assert capsys.readouterr().out == f"{expected}\n"
    with pytest.raises(InputError, match=r"no shards.*corpus"):
        print_digest(corpus=tmp_path)


def test_validation_uses_the_type_that_the_recipe_names_and_captions_on_replay_alone(corpus) -> None:
    recipe = SETTINGS.model_copy(update={"text_types": ["com", "sci"], "validation_text_type": "com"})
    assert TrainingData((corpus.biology,), None, recipe).validation_text_type == "com"
    assert TrainingData((), corpus.replay, recipe).validation_text_type == "caption"


def test_a_caption_type_per_sample_is_fixed_by_the_position(corpus, batches_of: Callable[..., Batches]) -> None:
    recipe = SETTINGS.model_copy(update={"text_type_per": "sample"})
    batches = batches_of(corpus.biology, recipe=recipe)
    assert batches[1].text_type == "mixed"
    shared = torch.cat([batches_of(corpus.biology, recipe=recipe, size=2, rank=rank)[1].tokens for rank in range(2)])
    assert torch.equal(shared, batches[1].tokens)
    of_one_type = {
        text_type: batches_of(corpus.biology, recipe=SETTINGS.model_copy(update={"text_types": [text_type]}))
        for text_type in TEXT_TYPES
    }
    drawn = Counter(
        tuple(t for t in TEXT_TYPES if torch.equal(of_one_type[t][step].tokens[n], batches[step].tokens[n]))
        for step in range(5)
        for n in range(8)
    )
    assert all(types for types in drawn)
    assert {t for types in drawn if len(types) == 1 for t in types} == set(TEXT_TYPES)


def test_the_small_split_is_trained_on_by_config(corpus, make_corpus: Callable, start: Path) -> None:
    spoilt = make_corpus()
    (spoilt.shards / "train_small").mkdir()
    recipe = SETTINGS.model_copy(update={"split": "train_small"})
    data = TrainingData((spoilt.biology,), None, recipe)
    assert data.biology_folders(spoilt.biology, "train") == [spoilt.shards / "train_small"]
    with pytest.raises(InputError, match="train_small"):
        data.check(1)


def test_staged_shards_give_the_same_samples_within_the_size_bound(
    corpus, batches_of: Callable[..., Batches], tmp_path: Path
) -> None:
    def used() -> int:
        total = 0
        for path in tmp_path.glob("disk/*.tar"):
            # Workers run at the same time: a temporary file may have been renamed.
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    room = 30_000
    staging = StagingArea(tmp_path / "disk", room)
    direct, staged = batches_of(corpus.biology), batches_of(corpus.biology, staging=staging)
    for step, batch in zip(range(12), make_loader(staged, range(12), 2, pin=False), strict=True):
        assert equal(direct[step], batch)
        assert used() <= room
    assert list(tmp_path.glob("disk/*.tar"))
