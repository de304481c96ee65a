"""Files of a judge's work folder for one part."""

SEEN = "seen.parquet"
"""The findings in every picture that was examined."""
FOUND = "findings.parquet"
"""The findings in the images that the judge's predicate selects."""
CHUNKS = "chunk-*.parquet"
"""The findings of an unfinished job."""
