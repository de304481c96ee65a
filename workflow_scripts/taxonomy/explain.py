"""Explain how a name is resolved: the candidates, the strategy that chose, and why."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import duckdb
import tyro

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
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
    json_lines: Annotated[bool, tyro.conf.arg(name="json")] = False,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Explain how a label is resolved.

    Exit status: 0 explained, resolved or not (`answer.reason` of --json); 2 bad input.

    Args:
        name: the label's scientific name, "" for none.
        kingdom: the label's kingdom; likewise the other ranks.
        phylum: its phylum.
        class_: its class.
        order: its order.
        family: its family.
        genus: its genus.
        species: its species column.
        taxon_key: the taxon's id in the records, as `backbone:id`.
        config: config with the backbones, strategies and overrides to use.
        backbones: name and DuckDB file of each backbone, in place of those that the config's workflow built.
        json_lines: print one JSON object: label, answer (the columns of `labels.parquet`), and explanation, its lines.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: the config is wrong, or a backbone is not built yet.
    """
    # The whole config takes a quarter of a second to import, which `--help` need not wait for.
    from workflow_scripts.common.config.root import load_config, load_site, read_yaml

    site = load_site()
    settings = load_config(read_yaml(config), str(config), site).taxonomy
    if settings is None:
        raise InputError(f"{config}: its corpus was made elsewhere; ask with the config that made it")
    built = {one.name: Path(one.folder(f"{site.results}/shared")) / "backbone.duckdb" for one in settings.backbones}
    ranks = dict(zip(RANKS, (kingdom, phylum, class_, order, family, genus, species), strict=True))
    label = ranks | {"scientific_name": name or None, "taxon_key": taxon_key}
    with tables.connect(memory_mb, threads) as connection:
        lines = explanation(connection, label, backbones or built, settings)
        if json_lines:
            told = {"label": label, "explanation": list(lines)}
            sys.stdout.write(json.dumps(told | {"answer": _resolved(connection)}, ensure_ascii=False) + "\n")
        else:
            sys.stdout.writelines(f"{line}\n" for line in lines)


def explanation(
    connection: duckdb.DuckDBPyConnection,
    label: Mapping[str, str | None],
    backbones: Mapping[str, Path],
    settings: TaxonomySettings,
) -> Iterator[str]:
    """The lines of an explanation.

    Args:
        connection: a fresh one.
        label: the columns of contract PROVIDER_LABELS that are filled.
        backbones: name and file of each backbone, the preferred one first.
        settings: strategies, languages and overrides.
    """
    columns = [column.name for column in PROVIDER_LABELS.columns]
    values = {"label_id": "the label", "images": 1} | dict(label)
    types = ", ".join(f"{quoted(column.name)} {column.type}" for column in PROVIDER_LABELS.columns)
    connection.execute(f"CREATE TEMP TABLE given ({types})")
    places = ", ".join("?" for _ in columns)
    connection.execute(f"INSERT INTO given VALUES ({places})", [values.get(column) for column in columns])
    read_overrides(connection, Path(settings.overrides) if settings.overrides else None)
    said = {name: value for name, value in label.items() if value}
    yield f"label: {'; '.join(f'{name} {value}' for name, value in said.items()) or 'empty'}"
    if not backbones:
        yield "no backbone is named (taxonomy.backbones)"
    for number, backbone in enumerate(match_labels(connection, backbones, settings, keeps_weighed=True)):
        if number == 0:
            asked = connection.execute("SELECT DISTINCT shown(key) FROM queries WHERE is_asked ORDER BY ALL").fetchall()
            yield f"species asked for: {', '.join(row[0] for row in asked) or 'none'}"
        yield from _of_backbone(connection, backbone)
    yield from _answer(connection)


def _of_backbone(connection: duckdb.DuckDBPyConnection, backbone: str) -> Iterator[str]:
    kingdoms = tables.scalar(connection, "SELECT shown_kingdoms(kingdoms) FROM contexts")
    yield f"\nbackbone {backbone}; the label allows: {kingdoms or 'any kingdom'}"
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
        yield "  no species of that name"
        connection.execute((HERE / "explain_other_ranks.sql").read_text(encoding="utf-8"))
        yield from (
            f"      {name} is in the backbone as {rank}: {taxon}" for name, taxon, rank in connection.fetchall()
        )
        connection.execute((HERE / "explain_near.sql").read_text(encoding="utf-8"))
        yield from (
            f"      near it, letters that differ: {distance}: {name}, {taxon}"
            for name, taxon, distance in connection.fetchall()
        )
    outcome = connection.execute(
        "SELECT strategy, coalesce(reason, ''), coalesce(detail, '') FROM species_outcomes "
        "UNION ALL SELECT strategy, coalesce(reason, ''), coalesce(detail, '') FROM higher_outcomes"
    ).fetchall()
    for strategy, reason, detail in outcome:
        yield f"  says: {strategy}{f', {reason}' if reason else ''}{f': {detail}' if detail else ''}"


def _resolved(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """The label's row of `labels.parquet`, with the reason where it is unresolved."""
    query = (HERE / "resolved.sql").read_text(encoding="utf-8")
    (answer,) = connection.sql(query).to_arrow_table().to_pylist()
    return dict(answer)


def _answer(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    answer = _resolved(connection)
    if answer["reason"]:
        yield f"\nanswer: unresolved, {answer['reason']}: {answer['detail']}"
        return
    yield f"\nanswer: {' '.join(answer[rank] for rank in RANKS if answer[rank])}"
    what = " ".join(part for part in (answer["resolved_rank"], answer["accepted_id"]) if part)
    yield f"  {answer['scientific_name']}, {what}"
    if answer["common_name"]:
        yield f"  common name: {answer['common_name']} ({answer['common_name_rank'] or 'the provider'}'s)"
    yield f"  by {answer['strategy']}, confidence {answer['confidence']}: {answer['detail']}"


if __name__ == "__main__":
    run(explain)
