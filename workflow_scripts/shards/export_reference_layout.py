"""Export shards with captions in the tars, the layout that existing BioCLIP and open_clip code reads."""

from collections.abc import Iterator
from pathlib import Path

import duckdb

from workflow_scripts.common import tables, tars
from workflow_scripts.common.captions import Taxon, published_members
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file, write_json
from workflow_scripts.common.progress import Progress
from workflow_scripts.contracts import LABELS, RANKS, SHARD_INDEX, SHARD_MANIFEST

TAXON_COLUMNS = (*RANKS, "scientific_name", "common_name")


def export_reference_layout(*, shards: Path, labels: Path, out_dir: Path) -> None:
    """Export each shard with the eleven members of the published layout (TreeOfLife-10M and -200M dataset cards).

    The same shards and labels give the same bytes. `sizes.json` (samples by tar) is written last.

    Args:
        shards: a folder of shards with their `manifest.parquet` and `index.parquet`.
        labels: the taxon of each label (contract LABELS).
        out_dir: the folder for the exported shards; not the folder of the shards.

    Raises:
        InputError: a shard does not match the manifest, or a label has no taxon for a caption.
    """
    if out_dir.resolve() == shards.resolve():
        raise InputError(f"--out-dir {out_dir}: this is the folder of the shards; give another folder")
    sizes: dict[str, int] = {}
    with tables.connect() as connection:
        tables.read(connection, shards / "manifest.parquet", SHARD_MANIFEST, "manifest")
        tables.read(connection, shards / "index.parquet", SHARD_INDEX, "samples")
        tables.read(connection, labels, LABELS, "labels")
        listed = connection.execute("SELECT shard, samples, sha256 FROM manifest ORDER BY shard").fetchall()
        with Progress("export", len(listed), "shards") as progress:
            for shard, samples, sha256 in listed:
                tar = shards / shard
                if not tar.is_file() or sha256_file(tar) != sha256:
                    raise InputError(f"{tar}: missing, or its digest is not the manifest's; write the shards again")
                written = tars.write_tar(out_dir / shard, _samples(connection, tar, labels))
                if len(written) != samples:
                    raise InputError(
                        f"{tar}: {len(written)} samples in the index, but {samples} in the manifest; "
                        "write the shards again"
                    )
                sizes[shard] = samples
                progress.update()
    write_json(out_dir / "sizes.json", sizes)


def _samples(connection: duckdb.DuckDBPyConnection, tar: Path, labels: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    columns = ", ".join(f"labels.{tables.quoted(column)}" for column in TAXON_COLUMNS)
    rows = connection.execute(
        f'SELECT samples.uuid, samples.label_id, samples."offset", samples.size, {columns} '
        "FROM samples LEFT JOIN labels USING (label_id) WHERE shard = $shard ORDER BY position",
        {"shard": tar.name},
    ).fetchall()
    with tar.open("rb") as file:
        for uuid, label_id, offset, size, *names in rows:
            taxon = Taxon.from_row(dict(zip(TAXON_COLUMNS, names, strict=True)))
            if not taxon.scientific:
                raise InputError(f"{labels}: label {label_id} of image {uuid} has no name; resolve the names again")
            texts = {extension: text.encode() for extension, text in published_members(taxon).items()}
            yield uuid, {"jpg": tars.read_at(file, offset, size), **texts}


if __name__ == "__main__":
    run(export_reference_layout)
