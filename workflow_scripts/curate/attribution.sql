-- Tables: catalog, verdicts, cited (key: a dataset_key or a data_source; cite: what to cite).
SELECT
    catalog.uuid,
    catalog.data_source,
    catalog.source_id,
    catalog.source_url,
    catalog.publisher,
    catalog.dataset_key,
    catalog.creator,
    catalog.copyright_owner,
    catalog.title,
    catalog.license,
    catalog.license_name,
    catalog.license_link,
    -- In order of preference: the config's citation of the dataset; the dataset's DOI, which some providers give as its
    -- key; the DOI of the download that contained the record; the config's citation of the source.
    coalesce(
        of_dataset.cite,
        CASE WHEN catalog.dataset_key LIKE '10.%/%' THEN catalog.dataset_key END,
        nullif(catalog.source_doi, ''),
        of_source.cite
    ) AS cite
FROM (
    FROM catalog
    -- Only some sources have the column.
    UNION ALL BY NAME
    SELECT NULL::VARCHAR AS source_doi WHERE false
) AS catalog
SEMI JOIN (SELECT uuid FROM verdicts WHERE keep) AS kept USING (uuid)
LEFT JOIN cited AS of_dataset ON catalog.dataset_key = of_dataset.key
LEFT JOIN cited AS of_source ON catalog.data_source = of_source.key
