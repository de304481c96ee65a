-- How the labels of a corpus were resolved. In: `labels` (contract LABELS) and `catalogue` (contract CATALOG).
-- Out: `by_source`, `costliest`.

CREATE OR REPLACE TEMP TABLE of_labels AS
SELECT data_source AS source, label_id, count(*) AS images
FROM catalogue
GROUP BY data_source, label_id;

CREATE OR REPLACE TEMP TABLE by_source AS
SELECT
    of_labels.source,
    labels.strategy,
    coalesce(labels.resolved_rank, 'none') AS rank,
    count(*) AS labels,
    sum(of_labels.images)::BIGINT AS images
FROM of_labels
JOIN labels USING (label_id)
GROUP BY ALL
ORDER BY ALL;

CREATE OR REPLACE TEMP TABLE costliest AS
SELECT
    label_id,
    reason,
    detail,
    concat_ws(
        ' | ',
        provider_kingdom, provider_phylum, provider_class, provider_order, provider_family, provider_genus,
        provider_species, provider_scientific_name
    ) AS written,
    images
FROM labels
WHERE strategy = 'unresolved'
ORDER BY images DESC, label_id
LIMIT 50;
