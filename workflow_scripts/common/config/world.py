"""Settings of the embedded world."""

from pydantic import Field

from workflow_scripts.common.config.base import Section, Seed


class WorldSettings(Section):
    """The embedded world, drawn from a table of real species and served over loopback. Absent in real recipes."""

    species: str | None = Field(
        None,
        description="CSV with the columns kingdom, phylum, class (or cls), order, family, genus, species (epithet) and "
        "common_name (one row per species; repeated rows count once). Default: the table shipped with the project.",
    )
    seed: Seed = Field(42, description="Seed of the world.")
    images_per_species: int = Field(16, ge=2, description="Catalog images per species.")
    unseen_species: int = Field(
        24, ge=2, description="Number of species that are only in the benchmark `rare_species`."
    )
    benchmark_images_per_species: int = Field(8, ge=6, description="Benchmark images per species.")
    replay_pairs: int = Field(2400, ge=50, description="Number of captioned shapes in the LAION-like metadata.")
    image_size: int = Field(256, ge=224, description="Shorter side of a drawn image, pixels.")
    port: int = Field(
        18_917, ge=1024, le=65535, description="Port of the world's hosts, whose addresses start at 127.0.0.2."
    )
    planted: int = Field(
        0,
        ge=0,
        description="Number of images without an organism in the catalog, per class (labels, landscapes, "
        "empty frames, faces), for judges to find. Support images (`{world}/support`) and `planted.csv` are "
        "written with them.",
    )
    troubles: bool = Field(
        True, description="Whether some hosts are slow, fail or send wrong content, and some labels are wrong."
    )
