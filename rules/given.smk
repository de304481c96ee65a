"""A corpus that was made elsewhere is read as it is: here are the names that the rules which make one would give."""

FETCHED = []
FETCHED_SOURCES = {}
BACKBONES = {}
BACKBONE_FILES = {}
