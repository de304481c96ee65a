-- How the labels of a corpus were resolved. In: `labels` (contract LABELS) and `catalogue` (contract CATALOG).
-- Out: `by_source`, `costliest`, `lost_species`.

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

CREATE OR REPLACE TEMP MACRO as_written(label) AS concat_ws(
    ' | ',
    label.provider_kingdom, label.provider_phylum, label.provider_class, label.provider_order, label.provider_family,
    label.provider_genus, label.provider_species, label.provider_scientific_name
);

CREATE OR REPLACE TEMP TABLE costliest AS
SELECT label_id, reason, detail, as_written(labels) AS written, images
FROM labels
WHERE strategy = 'unresolved'
ORDER BY images DESC, label_id
LIMIT 50;

-- Labels that name a species but resolve to a higher rank; `detail` (of `higher_rank.sql`) says which species.
CREATE OR REPLACE TEMP TABLE lost_species AS
SELECT label_id, resolved_rank, scientific_name, detail, as_written(labels) AS written, images
FROM labels
WHERE strategy = 'higher_rank' AND detail NOT LIKE '%the label names no certain species%'
ORDER BY images DESC, label_id
LIMIT 50;
