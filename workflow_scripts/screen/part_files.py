"""Files of a judge's work folder for one part."""

SEEN = "seen.parquet"
"""What was found in each picture that was ever seen."""
FOUND = "findings.parquet"
"""Of that, the images that are asked for."""
CHUNKS = "chunk-*.parquet"
"""What a job found that is not finished."""
