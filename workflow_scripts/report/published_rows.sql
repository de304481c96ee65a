-- Every image of the shards, with the columns of TreeOfLife-200M's catalogue and provenance, and its published tar.
-- Tables: samples (contract SHARD_INDEX, with generation and split), catalog, labels, attribution.
-- Variables: licences (prefixes of the SPDX identifiers whose images may be redistributed).
SELECT
    samples.uuid,
    -- The URL of a local file is a path, which is useless to others and may reveal names.
    CASE WHEN catalog.host <> '' THEN catalog.source_url END AS source_url,
    labels.kingdom,
    labels.phylum,
    labels."class",
    labels."order",
    labels.family,
    labels.genus,
    labels.species,
    labels.scientific_name,
    labels.common_name AS common,
    catalog.data_source,
    catalog.publisher,
    catalog.basisOfRecord,
    catalog.img_type,
    catalog.source_id,
    samples.split,
    samples.shard AS shard_filename,
    CASE
        WHEN len(list_filter(getvariable('licences'), lambda begin: starts_with(attribution.license, begin))) > 0
            THEN concat_ws('/', 'images', samples.generation, samples.split, samples.shard)
    END AS shard_file_path,
    concat_ws('/', 'shards', samples.generation, samples.split, samples.shard) AS base_dataset_file_path,
    attribution.license_name,
    attribution.license,
    attribution.copyright_owner,
    attribution.creator,
    attribution.license_link,
    attribution.title,
    attribution.cite
FROM samples
INNER JOIN catalog USING (uuid)
INNER JOIN attribution USING (uuid)
INNER JOIN labels ON samples.label_id = labels.label_id
