"""Explain how a name is resolved: its candidates, the strategy that chose one, and why."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import duckdb
import tyro

from workflow_scripts.common import tables
from workflow_scripts.common.cli import AsJson, print_json, run
from workflow_scripts.common.config.taxonomy import TaxonomySettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import quoted
from workflow_scripts.contracts import PROVIDER_LABELS, RANKS
from workflow_scripts.taxonomy.overrides import read_overrides
from workflow_scripts.taxonomy.resolve import HERE, match_labels

SHOWN_CANDIDATES = 20


def explain(
    *,
    name: tyro.conf.Positional[str],
    kingdom: str | None = None,
    phylum: str | None = None,
    class_: Annotated[str | None, tyro.conf.arg(name="class")] = None,
    order: str | None = None,
    family: str | None = None,
    genus: str | None = None,
    species: str | None = None,
    taxon_key: str | None = None,
    config: Path = Path("config/config.yaml"),
    backbones: dict[str, Path] = {},  # noqa: B006 (read only)
    json_lines: AsJson = False,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Explain how a label is resolved.

    Exit status: 0 whether or not the label is resolved (see `answer.reason` of --json); 2 bad input.

    Args:
        name: the label's scientific name, "" for none.
        kingdom: the label's kingdom.
        phylum: the label's phylum.
        class_: the label's class.
        order: the label's order.
        family: the label's family.
        genus: the label's genus.
        species: the label's species column: an epithet or a binomial.
        taxon_key: the taxon id that the source's records give, as `backbone:id`.
        config: config with the backbones, strategies and overrides to use.
        backbones: name and DuckDB file of each backbone. Default: the backbones that the workflow built for the config.
        json_lines: print one JSON object: `label`, `answer` (a row of `labels.parquet`) and `explanation` (lines).
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: the config is invalid, or a backbone is not built yet.
    """
    # Importing the config model takes a quarter of a second; `--help` does not need it.
    from workflow_scripts.common.config.root import load_config, load_site, read_yaml

    site = load_site()
    settings = load_config(read_yaml(config), str(config), site).taxonomy
    if settings is None:
        raise InputError(f"{config}: its corpus was made elsewhere; give the config that made the corpus")
    built = {one.name: Path(one.folder(f"{site.results}/shared")) / "backbone.duckdb" for one in settings.backbones}
    ranks = dict(zip(RANKS, (kingdom, phylum, class_, order, family, genus, species), strict=True))
    label = ranks | {"scientific_name": name or None, "taxon_key": taxon_key}
    with tables.connect(memory_mb, threads) as connection:
        lines = explanation(connection, label, backbones or built, settings)
        if json_lines:
            explained = {"label": label, "explanation": list(lines)}
            print_json(explained | {"answer": _resolved(connection)})
        else:
            sys.stdout.writelines(f"{line}\n" for line in lines)


def explanation(
    connection: duckdb.DuckDBPyConnection,
    label: Mapping[str, str | None],
    backbones: Mapping[str, Path],
    settings: TaxonomySettings,
) -> Iterator[str]:
    """Resolve one label; yield the lines that explain the answer.

    Args:
        connection: a new connection.
        label: values by column of contract PROVIDER_LABELS; the other columns are empty.
        backbones: name and file of each backbone, in order of preference.
        settings: strategies, languages and overrides.
    """
    columns = [column.name for column in PROVIDER_LABELS.columns]
    values = {"label_id": "the label", "images": 1} | dict(label)
    types = ", ".join(f"{quoted(column.name)} {column.type}" for column in PROVIDER_LABELS.columns)
    connection.execute(f"CREATE TEMP TABLE given ({types})")
    places = ", ".join("?" for _ in columns)
    connection.execute(f"INSERT INTO given VALUES ({places})", [values.get(column) for column in columns])
    read_overrides(connection, Path(settings.overrides) if settings.overrides else None)
    filled = {name: value for name, value in label.items() if value}
    yield f"label: {'; '.join(f'{name} {value}' for name, value in filled.items()) or 'empty'}"
    if not backbones:
        yield "no backbone is configured (taxonomy.backbones)"
    for number, backbone in enumerate(match_labels(connection, backbones, settings, keeps_weighed=True)):
        if number == 0:
            names = connection.execute(
                "SELECT DISTINCT shown(key) FROM queries WHERE is_primary ORDER BY ALL"
            ).fetchall()
            yield f"species searched for: {', '.join(row[0] for row in names) or 'none'}"
        yield from _explain_backbone(connection, backbone)
    yield from _explain_answer(connection)


def _explain_backbone(connection: duckdb.DuckDBPyConnection, backbone: str) -> Iterator[str]:
    kingdoms = tables.scalar(connection, "SELECT shown_kingdoms(kingdoms) FROM contexts")
    yield f"\nbackbone {backbone}; kingdoms that the label allows: {kingdoms or 'all'}"
    connection.execute((HERE / "explain.sql").read_text(encoding="utf-8"))
    candidates = connection.fetchall()
    for row in candidates[:SHOWN_CANDIDATES]:
        finder, name, standing, taxon, answer, lineage, distance, agreeing, implied, differing, author, fate = row
        letters = f", {distance} letters differ" if distance else ""
        yield f"  {name}: {standing}, {taxon}{f' -> {answer}' if answer != taxon else ''} (found by {finder}{letters})"
        yield f"      {lineage}"
        and_implied = f", and by implication {implied}" if implied != "none" else ""
        if author is not None:
            yield f"      author: {'agrees' if author >= 0.5 else 'differs'}"
        yield f"      ranks agreeing: {agreeing}{and_implied}; differing: {differing}"
        yield f"      {fate}"
    if len(candidates) > SHOWN_CANDIDATES:
        yield f"  and {len(candidates) - SHOWN_CANDIDATES} more"
    if not candidates:
        yield "  no species of this name"
        connection.execute((HERE / "explain_other_ranks.sql").read_text(encoding="utf-8"))
        yield from (
            f"      {name} is in the backbone as {rank}: {taxon}" for name, taxon, rank in connection.fetchall()
        )
        connection.execute((HERE / "explain_near.sql").read_text(encoding="utf-8"))
        yield from (
            f"      similar name: {name}, {taxon}; letters that differ: {distance}"
            for name, taxon, distance in connection.fetchall()
        )
    outcome = connection.execute(
        "SELECT strategy, coalesce(reason, ''), coalesce(detail, '') FROM species_outcomes "
        "UNION ALL SELECT strategy, coalesce(reason, ''), coalesce(detail, '') FROM higher_outcomes"
    ).fetchall()
    for strategy, reason, detail in outcome:
        yield f"  result: {strategy}{f', {reason}' if reason else ''}{f': {detail}' if detail else ''}"


def _resolved(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """The label's row of `labels.parquet`."""
    query = (HERE / "resolved.sql").read_text(encoding="utf-8")
    (answer,) = connection.sql(query).to_arrow_table().to_pylist()
    return dict(answer)


def _explain_answer(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    answer = _resolved(connection)
    if answer["reason"]:
        yield f"\nanswer: unresolved, {answer['reason']}: {answer['detail']}"
        return
    yield f"\nanswer: {' '.join(answer[rank] for rank in RANKS if answer[rank])}"
    what = " ".join(part for part in (answer["resolved_rank"], answer["accepted_id"]) if part)
    yield f"  {answer['scientific_name']}, {what}"
    if answer["common_name"]:
        yield f"  common name: {answer['common_name']} (of the {answer['common_name_rank'] or 'provider'})"
    yield f"  by {answer['strategy']}, confidence {answer['confidence']}: {answer['detail']}"


if __name__ == "__main__":
    run(explain)
