"""Read your own table of ranks and names as a checklist."""

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.text_archives import Archive, Part, Table, best_table, named
from workflow_scripts.taxonomy.columns import TAXON_COLUMNS

COLUMNS = (*TAXON_COLUMNS, "species", "common", "language")
# Other names of the columns, such as those in benchmarks' label files.
NAMES = named(
    *COLUMNS,
    id="taxonID",
    cls="class",
    name="scientificName",
    author="scientificNameAuthorship",
    authorship="scientificNameAuthorship",
    rank="taxonRank",
    status="taxonomicStatus",
    acceptedname="acceptedNameUsage",
    accepted="acceptedNameUsage",
    synonymof="acceptedNameUsage",
    commonname="common",
    vernacularname="common",
)
NAMING = ("scientificName", "canonicalName", "species", "genus", "family", "order", "class", "phylum", "kingdom")


def find_table(archive: Archive) -> Table:
    """Find the table `list_rows` in your own file or folder.

    Raises:
        InputError: no file has a column of names or ranks.
    """

    def score(part: Part) -> int:
        return len(part.columns) if set(NAMING) & set(part.columns) else 0

    part = best_table(archive, score, NAMES)
    if part is None:
        raise InputError(
            f"{archive.place}: no table with a column of names ({archive.shown()}); give a CSV file whose header has "
            "kingdom, phylum, class, order, family, genus, species or scientific_name"
        )
    return Table("list_rows", COLUMNS, (), [part])
