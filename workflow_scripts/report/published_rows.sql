-- Every image of the shards: what TreeOfLife-200M's catalogue and provenance say of it, and where it is published.
-- Tables: samples (contract SHARD_INDEX, with generation and split), catalog, labels, attribution.
-- Variables: licences (how the SPDX identifiers begin of those whose images are passed on).
SELECT
    samples.uuid,
    -- Of a local file it is a path, which tells others nothing but of whom it was had.
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
