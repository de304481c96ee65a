"""A corpus that was made elsewhere is read as it is: here are the names that the rules which make one would give."""

ATTRIBUTIONS = glob(f"{CORPUS}/curate/g*/attribution.parquet")
REPLAY_ACCOUNTS = glob(f"{CORPUS}/replay/account.json") + glob(f"{CORPUS}/replay/selection/account.json")
FETCHED = []
FETCHED_SOURCES = {}
BACKBONES = {}
BACKBONE_FILES = {}
