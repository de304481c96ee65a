"""A small catalog with its downloads, as input for `decide`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.common import tables
from workflow_scripts.common.config.curate import CurateSettings
from workflow_scripts.common.config.screen import Refusals
from workflow_scripts.contracts import (
    BENCHMARK_IMAGES,
    CATALOG,
    FINDINGS,
    GATHERED_DOWNLOADS,
    LABELS,
    LEAKAGE,
    LEDGER,
    OUTSIDE_VERDICTS,
    VERDICTS,
)
from workflow_scripts.curate.decide import decide

MAGPIE = ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Pica", "hudsonia")
RAVEN = ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Corvus", "corax")
OAK = ("Plantae", "Tracheophyta", "Magnoliopsida", "Fagales", "Fagaceae", "Quercus", "alba")
RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")


def a_label(label_id: str, ranks: Sequence[str | None], **more: Any) -> dict[str, Any]:
    known = [rank for rank, name in zip(RANKS, ranks, strict=True) if name]
    genus, epithet = ranks[-2:]
    lowest = next((name for name in reversed(ranks) if name), None)
    return {
        "label_id": label_id,
        **dict(zip(RANKS, ranks, strict=True)),
        "scientific_name": f"{genus} {epithet}" if epithet else lowest,
        "match_type": "exact" if known else "none",
        "strategy": "exact" if known else "none",
        "confidence": 1.0,
        "resolved_rank": known[-1] if known else None,
        "reason": None if known else "no name",
        "images": 1,
    } | more


LABEL_ROWS = [
    a_label("magpie", MAGPIE),
    a_label("raven", RAVEN),
    a_label("oak", OAK),
    a_label("crows", (*MAGPIE[:5], None, None)),
    a_label("nothing", (None,) * 7),
]


def leak(uuid: str, **more: Any) -> dict[str, Any]:
    """An image that the benchmark `birds` has as well."""
    place = {"part": 0, "tar": "00000.tar", "offset": 512, "size": 9, "benchmark_path": "birds/1.jpg"}
    found = {
        "benchmark": "birds",
        "distance": 4,
        "same_bytes": False,
        "positions": [1],
        "position": 1,
        "image": "1.jpg",
    }
    return {"uuid": uuid} | found | place | more


def benchmark_image(number: int, genus: str, species: str) -> dict[str, Any]:
    names = {"taxon_genus": genus, "taxon_species": species, "class": f"{genus} {species}"}
    return {"position": number, "image": f"{number}.jpg", "path": f"{number}.jpg", "md5": f"b{number}"} | names


def taken_down(uuid: str, **more: Any) -> dict[str, Any]:
    return {"uuid": uuid, "md5": None, "generation": 0, "split": None, "date": "2026-01-31", "reason": "asked"} | more


class Corpus:
    """A catalog with its downloads in a folder, as input for `decide`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def decide(
        self,
        images: Sequence[dict[str, Any]],
        *,
        generation: int = 0,
        parts: int = 1,
        older: Sequence[Path] = (),
        labels: Sequence[dict[str, Any]] = LABEL_ROWS,
        leakage: Sequence[dict[str, Any]] = (),
        held_out: Sequence[dict[str, Any]] = (),
        outside: Sequence[dict[str, Any]] = (),
        findings: Sequence[dict[str, Any]] = (),
        refusals: Sequence[dict[str, Any]] = (),
        ledger: Sequence[dict[str, Any]] = (),
        threads: int = 1,
        name: str = "out",
        **settings: Any,
    ) -> Path:
        """Decide on `images`: dicts with uuid, label and the columns that differ from a good image."""
        self.folder.mkdir(exist_ok=True)
        catalog, downloads = [], []
        for image in images:
            row = {"status": "ok", "md5": image["uuid"], "error": None, "crop": None, "occurrence": None} | image
            ok = row["status"] == "ok"
            catalog.append(
                {
                    "uuid": row["uuid"],
                    "label_id": row["label"],
                    "data_source": "test",
                    "source_url": f"http://a.test/{row['uuid']}",
                    "host": "a.test",
                    "crop": row["crop"],
                    "occurrence_id": row["occurrence"],
                    "basisOfRecord": row.get("basis"),
                    "img_type": row.get("img_type"),
                    "license": row.get("license"),
                    "license_name": row.get("license"),
                    "generation": generation,
                    "part": 0,
                }
            )
            downloads.append(
                {
                    "uuid": row["uuid"],
                    "status": row["status"],
                    "error": row["error"],
                    "attempts": 1,
                    "md5": row["md5"] if ok else None,
                    "original_width": row.get("width", 400) if ok else None,
                    "original_height": row.get("height", 300) if ok else None,
                    "tar": "00000.tar" if ok else None,
                    "offset": 512 if ok else None,
                    "size": 9 if ok else None,
                    "part": 0,
                }
            )
        pieces = []
        for part in range(parts):
            pieces.append(self.folder / f"catalog-{name}-{part}.parquet")
            tables.write_rows(catalog[part::parts], CATALOG, pieces[-1])
        tables.write_rows(downloads, GATHERED_DOWNLOADS, self.folder / f"downloads-{name}.parquet")
        tables.write_rows(labels, LABELS, self.folder / f"labels-{name}.parquet")
        given: dict[str, tuple[Path, ...]] = {}
        for option, rows, contract in (
            ("leakage", [leak(**row) for row in leakage], LEAKAGE),
            ("held_out", [benchmark_image(n, **row) for n, row in enumerate(held_out)], BENCHMARK_IMAGES),
            ("outside", outside, OUTSIDE_VERDICTS),
            ("findings", [{"data_source": "test"} | row for row in findings], FINDINGS),
            ("ledger", [taken_down(**row) for row in ledger], LEDGER),
        ):
            if rows:
                given[option] = (self.folder / f"{option}-{name}.parquet",)
                tables.write_rows(rows, contract, given[option][0])
        out = self.folder / name / "verdicts.parquet"
        decide(
            catalog=tuple(pieces),
            downloads=self.folder / f"downloads-{name}.parquet",
            labels=self.folder / f"labels-{name}.parquet",
            older=tuple(older),
            settings=CurateSettings.model_validate({"val_share": 0.0} | settings),
            out=out,
            account=out.with_name("account.json"),
            refusals=Refusals.model_validate({"rules": refusals}),
            **given,
            memory_mb=256,
            threads=threads,
        )
        return out


def verdicts(path: Path) -> dict[str, dict[str, Any]]:
    return {row["uuid"]: row for row in tables.read_rows(path, VERDICTS).to_pylist()}
