"""The last lines of a dry run: jobs, images, bytes and GPU hours, as far as known."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.config.root import Config, load_config, read_yaml
from workflow_scripts.common.config.site import SiteSettings
from workflow_scripts.common.generations import Generations
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.plan_summary import jobs_line, summary

ROOT = Path(__file__).resolve().parents[2]
JOBS = {"download": 3, "curate": 1, "train_run": 1, **{f"eval_{number}": 1 for number in range(10)}}


@pytest.fixture
def config() -> Config:
    values = read_yaml(ROOT / "config/bioclip2.yaml")
    values["generations"][0]["parts"] = 4
    values["train"]["epochs"] = 2
    return load_config(values, "c.yaml", SiteSettings())


def lines(config: Config, corpus: Path, jobs: dict[str, int]) -> dict[str, str]:
    generations = Generations.planned(config.generations)
    parts = generations.parts["g000"][: jobs.get("download", 0)]
    found = summary(jobs, parts, config, Corpus(str(corpus)), generations)
    return dict(line.split(": ", 1) for line in (jobs_line(jobs), *found))


def test_plan_totals_cover_the_catalog_and_the_downloaded_parts(config: Config, tmp_path: Path) -> None:
    said = lines(config, tmp_path, JOBS)
    assert said["plan"].startswith("15 jobs: download 3") and "5 jobs of 5" in said["plan"]
    assert "`snakemake estimate" in said["images"] and "catalog" in said["GPU hours"]
    account = Account("catalog", "g000", "images", 1_000_000, 1_000_000, {})
    write_account(Path(Corpus(str(tmp_path)).catalog_account(generation="g000")), account)
    said = lines(config, tmp_path, JOBS)
    # Three of four parts, at 1.5 MB served and 140 kB stored; two epochs at 4,300 s per million.
    assert all(part in said["images"] for part in ("750,000", "1.12 TB", "105 GB"))
    assert all(part in said["GPU hours"] for part in ("2.39", "ViT-L-14", "BioCLIP 2"))
    assert set(lines(config, tmp_path, {"curate": 1})) == {"plan"}
    # The table of hosts has the images that are not files.
    hosts = Path(Corpus(str(tmp_path)).catalog_hosts(generation="g000"))
    pq.write_table(pa.table({"host": ["a.example"], "images": [400_000]}), hosts)
    said = lines(config, tmp_path, JOBS)
    assert all(part in said["images"] for part in ("300,000 to download", "450,000 to read from disk", "450 GB"))
    pq.write_table(pa.table({"host": pa.array([], pa.string()), "images": pa.array([], pa.int64())}), hosts)
    said = lines(config, tmp_path, JOBS)
    assert "750,000 to read from disk" in said["images"] and "traffic" not in said["images"]
    on_cpu = config.model_copy(update={"train": config.train.model_copy(update={"allow_cpu": True})})
    assert "GPU hours" not in lines(on_cpu, tmp_path, JOBS)
