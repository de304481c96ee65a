"""The exported layout is what existing BioCLIP code reads: eleven members a sample, and `sizes.json`."""

import importlib
import json
import tarfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

from workflow_scripts.common import tables, tars
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.images import encode_jpeg
from workflow_scripts.contracts import LABELS, RANKS, SHARD_INDEX, SHARD_MANIFEST
from workflow_scripts.shards.export_reference_layout import export_reference_layout

MAGPIE = ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Pica", "hudsonia")


def a_label(label_id: str, ranks: tuple[str | None, ...], **more: Any) -> dict[str, Any]:
    return {
        "label_id": label_id,
        **dict(zip(RANKS, ranks, strict=True)),
        "match_type": "exact",
        "strategy": "exact",
        "confidence": 1.0,
        "images": 1,
    } | more


def picture(uuid: str) -> bytes:
    """A JPEG of a single grey value that identifies it."""
    return encode_jpeg(np.full((8, 8, 3), 20 * int(uuid[1:]), np.uint8), 95)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards of two images, one label with a common name and one without."""
    folder = tmp_path / "train"
    manifest, rows = [], []
    for shard in range(2):
        tar = folder / f"shard-{shard:06d}.tar"
        uuids = [f"u{shard}{position}" for position in range(2)]
        places = tars.write_tar(tar, ((uuid, {"jpg": picture(uuid), "label_id.txt": b"x"}) for uuid in uuids))
        manifest.append({"shard": tar.name, "samples": 2, "bytes": tar.stat().st_size, "sha256": sha256_file(tar)})
        rows += [
            {
                "uuid": uuid,
                "shard": tar.name,
                "position": position,
                "offset": place["jpg"].offset,
                "size": place["jpg"].size,
                "label_id": ("magpie", "genus")[position],
            }
            for position, (uuid, place) in enumerate(zip(uuids, places, strict=True))
        ]
    tables.write_rows(manifest, SHARD_MANIFEST, folder / "manifest.parquet")
    tables.write_rows(rows, SHARD_INDEX, folder / "index.parquet")
    labels = [
        a_label("magpie", MAGPIE, scientific_name="Pica hudsonia", common_name="black-billed magpie"),
        a_label("genus", (*MAGPIE[:6], None), scientific_name="Pica"),
    ]
    tables.write_rows(labels, LABELS, tmp_path / "labels.parquet")
    return folder


def test_a_sample_has_the_eleven_published_members(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "export"
    export_reference_layout(shards=shards, labels=tmp_path / "labels.parquet", out_dir=out)
    assert json.loads((out / "sizes.json").read_text()) == {"shard-000000.tar": 2, "shard-000001.tar": 2}
    with tarfile.open(out / "shard-000001.tar") as tar:
        assert len(tar.getnames()) == 22
    magpie, genus = webdataset.WebDataset(str(out / "shard-000001.tar"), shardshuffle=False)
    assert magpie["__key__"] == "u10"
    assert magpie["jpg"] == picture("u10")
    assert magpie["sci_com.txt"] == b"a photo of Pica hudsonia with common name black-billed magpie."
    assert magpie["taxontag.txt"].startswith(b"a photo of kingdom Animalia phylum Chordata class Aves")
    assert magpie["taxonomic_name.txt"] == " ".join(MAGPIE).encode()
    assert genus["com.txt"] == b"a photo of Pica."
    assert genus["common_name.txt"] == b"Pica"


def test_the_same_shards_give_the_same_bytes(shards: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_reference_layout(shards=shards, labels=tmp_path / "labels.parquet", out_dir=tmp_path / name)
    assert [sha256_file(path) for path in sorted((tmp_path / "one").iterdir())] == [
        sha256_file(path) for path in sorted((tmp_path / "two").iterdir())
    ]


def test_nothing_is_exported_onto_the_shards_or_from_damaged_ones(shards: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.parquet"
    with pytest.raises(InputError, match="give another folder"):
        export_reference_layout(shards=shards, labels=labels, out_dir=shards)
    tar = shards / "shard-000001.tar"
    tar.write_bytes(tar.read_bytes().replace(b"u10", b"u99"))
    with pytest.raises(InputError, match=r"shard-000001\.tar: "):
        export_reference_layout(shards=shards, labels=labels, out_dir=tmp_path / "export")
    assert not (tmp_path / "export" / "sizes.json").exists()


def test_a_label_without_a_name_is_named(shards: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.parquet"
    tables.write_rows([a_label("magpie", MAGPIE)], LABELS, labels)
    with pytest.raises(InputError, match=r"label genus.*\bu01\b"):
        export_reference_layout(shards=shards, labels=labels, out_dir=tmp_path / "export")


def test_the_loader_of_open_clip_train_reads_every_sample(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """open_clip's own pipeline, with a member of this layout in place of `txt`, as in BioCLIP's code."""
    # Lets torchvision be imported with a torch that it was not built for.
    importlib.import_module("workflow_scripts.common.clip")
    from open_clip_train import data
    from webdataset.tariterators import tar_file_expander

    export_reference_layout(shards=shards, labels=tmp_path / "labels.parquet", out_dir=tmp_path / "export")
    # open_clip_train 3.3 needs this with this release of webdataset.
    monkeypatch.setattr(data, "tar_file_expander", partial(tar_file_expander, eof_value=None))
    monkeypatch.setattr(data, "filter_no_caption_or_no_image", lambda sample: {"jpg", "sci_com.txt"} <= set(sample))
    rename = data.wds.rename
    monkeypatch.setattr(data.wds, "rename", lambda image, text: rename(image=image, text="sci_com.txt"))
    arguments = SimpleNamespace(
        train_data=str(tmp_path / "export/shard-{000000..000001}.tar"), train_num_samples=None, workers=0,
        train_data_upsampling_factors=None, dataset_resampled=False, seed=0, world_size=1, batch_size=2,
    )  # fmt: skip

    def grey(image: Image.Image) -> int:
        return round(float(np.asarray(image).mean()))

    loaded = data.get_wds_dataset(arguments, grey, is_train=True, tokenizer=lambda text: [text])
    assert loaded.dataloader.num_samples == 4, "by sizes.json"
    read = {
        (int(image), text) for images, texts in loaded.dataloader for image, text in zip(images, texts, strict=True)
    }
    magpie, genus = (
        "a photo of Pica hudsonia with common name black-billed magpie.",
        "a photo of Pica with common name Pica.",
    )
    assert read == {(0, magpie), (20, genus), (200, magpie), (220, genus)}
