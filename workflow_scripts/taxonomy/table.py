"""Read your own table of ranks and names as a checklist."""

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.text_archives import Archive, Part, Table, best_tables, named
from workflow_scripts.taxonomy.columns import FLAT_RANKS, TAXON_COLUMNS

COLUMNS = (*TAXON_COLUMNS, "species")
# Other names of the columns: those of label files, of the Red List, and of checklists of birds, mammals and plants.
SPELLINGS = {
    "taxonID": "id uid internaltaxonid plantnameid",
    "parentNameUsageID": "parentid parentuid parenttaxonid parentnameid",
    "parentNameUsage": "parent parentname parenttaxon",
    "acceptedNameUsageID": "acceptedtaxonid acceptedid acceptedplantnameid",
    "acceptedNameUsage": "acceptedname accepted synonymof acceptedscientificname validname",
    "scientificName": "name sciname latinname latin taxonname taxon binomial binomialname botanicalname fullname "
    "scientificnamewithauthor scientificnamewithauthors nombrecientifico nomscientifique nomecientifico "
    "wissenschaftlichername",
    "scientificNameAuthorship": "author authors authorship authority taxonauthors taxonauthority scientificnameauthor",
    "taxonRank": "rank taxonlevel",
    "taxonomicStatus": "status taxonstatus",
    "class": "cls",
    "species": "speciesname speciesscientific speciesepithet",
    "infraspecificEpithet": "subspecies subspeciesname infraspecies infraname subspeciesscientific",
    "vernacularName": "common commonname commonnames englishname englishnames vernacular vernaculars vernacularnames "
    "maincommonname commonnameenglish englishcommonname commonenglishname speciesenglish nombrecomun nomcommun",
}
NAMES = named(*COLUMNS, **{other: name for name, others in SPELLINGS.items() for other in others.split()}) | {
    f"{rank}{word}": rank for rank in FLAT_RANKS for word in ("name", "scientific")
}
NAMING = ("scientificName", "canonicalName", "species", "genus", "family", "order", "class", "phylum", "kingdom")


def find_table(archive: Archive) -> Table:
    """Find the table `list_rows` in your own file or folder.

    Raises:
        InputError: no file has a column of names or ranks, or several have the same columns.
    """

    def score(part: Part) -> int:
        return len(part.columns) if set(NAMING) & set(part.columns) else 0

    parts = best_tables(archive, score, NAMES)
    if not parts:
        raise InputError(
            f"{archive.place}: no table with a column of names ({archive.shown()}); give a CSV file whose header has "
            "kingdom, phylum, class, order, family, genus, species or scientific_name"
        )
    if len(parts) > 1:
        names = ", ".join(part.path.name for part in parts)
        raise InputError(
            f"{archive.place}: several tables of names ({names}); combine them into one, or make a backbone of each"
        )
    return Table("list_rows", COLUMNS, (), parts)
