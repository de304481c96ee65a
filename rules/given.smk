"""For a corpus made elsewhere, which is only read: empty values for the names that the corpus rules define."""

FETCHED = []
FETCHED_SOURCES = {}
BACKBONES = {}
BACKBONE_FILES = {}
