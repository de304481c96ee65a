"""The embedded world: a miniature of everything that comes from outside."""

from pydantic import Field

from workflow_scripts.common.config.base import Section, Seed


class WorldSettings(Section):
    """The embedded world, drawn from a table of real species and served over loopback. Absent in real recipes."""

    species: str | None = Field(
        None,
        description="CSV with the columns kingdom, phylum, class (or cls), order, family, genus, species (epithet) and "
        "common_name (one row a species; repeated rows count once). Default: the table that the project ships.",
    )
    seed: Seed = Field(42, description="Seed of everything drawn.")
    images_per_species: int = Field(16, ge=2, description="Catalogue images a species.")
    unseen_species: int = Field(24, ge=2, description="Species that never appear in the catalogue: rare_species.")
    benchmark_images_per_species: int = Field(8, ge=6, description="Benchmark images a species.")
    replay_pairs: int = Field(2400, ge=50, description="Captioned shapes in the LAION-like metadata.")
    image_size: int = Field(256, ge=224, description="Shorter side of a drawn image, pixels.")
    port: int = Field(
        18_917, ge=1024, le=65535, description="Port of the world's hosts, which are addresses from 127.0.0.2 on."
    )
    planted: int = Field(
        0,
        ge=0,
        description="Pictures without an organism planted in the catalog, of each class (labels, landscapes, empty "
        "frames, faces), for judges to find; with them come support images (`{world}/support`) and `planted.csv`.",
    )
    troubles: bool = Field(True, description="Whether some hosts are slow, fail or lie, and some labels are wrong.")
