"""Columns of the tables that a checklist is read into."""

FLAT_RANKS = ("kingdom", "phylum", "class", "order", "family", "genus")
TAXON_COLUMNS = (
    *("taxonID", "parentNameUsageID", "acceptedNameUsageID", "scientificName", "taxonRank", "taxonomicStatus"),
    *("canonicalName", "scientificNameAuthorship", *FLAT_RANKS, "nomenclaturalStatus"),
    *("genericName", "infragenericEpithet", "specificEpithet", "infraspecificEpithet"),
    *("coreID", "parentNameUsage", "acceptedNameUsage", "vernacularName", "language"),
)
VERNACULAR_COLUMNS = ("taxonID", "vernacularName", "language", "isPreferredName")
