"""Croissant metadata of a published dataset (docs.mlcommons.org/croissant)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.torchless import torch_hidden
from workflow_scripts.contracts import Contract

with torch_hidden():
    import mlcroissant as mlc

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"


def croissant(
    title: str,
    identity: Mapping[str, Any],
    folder: Path,
    contracts: Sequence[Contract],
    authors: Sequence[str],
    *,
    images: bool,
) -> dict[str, Any]:
    """The metadata, as JSON-LD.

    Args:
        title: name of the dataset.
        identity: the corpus's identity (`id`, `digest`).
        folder: folder of `catalog.parquet` and `provenance.parquet`.
        contracts: contracts of the two tables, in this order.
        authors: names of the authors.
        images: whether the dataset has tars of images.
    """
    names = ("catalog", "provenance")
    files: list[Any] = [
        mlc.FileObject(
            id=f"{name}.parquet",
            name=f"{name}.parquet",
            description=f"Each row is {contract.name}.",
            content_url=f"{name}.parquet",
            encoding_formats=["application/x-parquet"],
            sha256=sha256_file(folder / f"{name}.parquet"),
        )
        for name, contract in zip(names, contracts, strict=True)
    ]
    if images:
        files.append(
            mlc.FileObject(
                id="repository",
                name="repository",
                description="The folder of this file.",
                content_url=".",
                encoding_formats=["git+https"],
                sha256="https://github.com/mlcommons/croissant/issues/80",
            )
        )
        files.append(
            mlc.FileSet(
                id="images",
                name="images",
                description="WebDataset shards of the redistributable images: <uuid>.jpg, <uuid>.label_id.txt.",
                contained_in=["repository"],
                encoding_formats=["application/x-tar"],
                includes=["images/*/*/*.tar"],
            )
        )
    metadata = mlc.Metadata(
        name=title,
        description=f"Organism images with names by rank, licences and sources. Corpus {identity['id']}, "
        f"SHA-256 {identity['digest']}.",
        conforms_to=[CONFORMS_TO],
        license=["Each image under its own licence: provenance.parquet"],
        creators=[mlc.Organization(name=name) for name in authors],
        url=".",
        version="1.0.0",
        distribution=files,
        record_sets=[
            mlc.RecordSet(
                id=name,
                name=name,
                description=f"Each record is {contract.name}.",
                key=[f"{name}/uuid"],
                fields=[
                    mlc.Field(
                        id=f"{name}/{column.name}",
                        name=column.name,
                        data_types=[mlc.DataType.TEXT],
                        source=mlc.Source(
                            id=f"{name}/{column.name}/source",
                            file_object=f"{name}.parquet",
                            extract=mlc.Extract(column=column.name),
                        ),
                    )
                    for column in contract.columns
                ],
            )
            for name, contract in zip(names, contracts, strict=True)
        ],
    )
    return dict(metadata.to_json())
