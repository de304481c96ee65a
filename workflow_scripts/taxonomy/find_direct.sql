-- Answers without a search by name: a curator's override, and the record's own taxon key if it is of this backbone.
-- In: `overridden`, `labels`, `contexts`, `strategies` and the attached `backbone`. Out: `species_outcomes`.

DELETE FROM targets_sought
WHERE taxon_id IN (
    SELECT names.taxon_id
    FROM backbone.names AS names
    JOIN backbone.taxa AS taxa ON taxa.taxon_id = names.accepted_id
    WHERE names.taxon_id IN (SELECT taxon_id FROM targets_sought) AND NOT names.is_pro_parte
);

INSERT INTO species_outcomes BY NAME
SELECT
    overridden.label,
    CASE WHEN overridden.taxon_id IS NULL THEN 'overridden' END AS reason,
    CASE WHEN overridden.taxon_id IS NULL THEN 'unresolved' ELSE 'override' END AS strategy,
    CASE WHEN overridden.taxon_id IS NULL THEN 'none' ELSE 'override' END AS match_type,
    overridden.taxon_id,
    taxa.answer_id,
    concat_ws(': ', 'curator''s override', overridden.why) AS detail
FROM overridden
LEFT JOIN backbone.names AS names ON names.taxon_id = overridden.taxon_id AND NOT names.is_pro_parte
LEFT JOIN backbone.taxa AS taxa ON taxa.taxon_id = names.accepted_id
WHERE
    'override' IN (SELECT name FROM strategies)
    AND (taxa.answer_id IS NOT NULL OR overridden.taxon_id IS NULL);

INSERT INTO species_outcomes BY NAME
SELECT
    labels.label,
    CASE WHEN in_conflict(contexts.kingdoms, kingdom_key(taxa.kingdom)) THEN 'conflict' END AS reason,
    CASE WHEN reason IS NULL THEN 'taxon_key' ELSE 'unresolved' END AS strategy,
    CASE WHEN reason IS NOT NULL THEN 'none' WHEN names.tier = 1 THEN 'synonym' ELSE 'exact' END AS match_type,
    CASE WHEN reason IS NULL THEN names.taxon_id END AS taxon_id,
    CASE WHEN reason IS NULL THEN taxa.answer_id END AS answer_id,
    1 AS agreeing,
    CASE
        WHEN reason IS NULL THEN 'the records'' own key ' || labels.taxon_key
        ELSE 'the records'' own key ' || labels.taxon_key || ' is ' || taxa.scientific_name || ' of ' || taxa.kingdom
            || ', the label says ' || shown_kingdoms(contexts.kingdoms)
    END AS detail
FROM (SELECT label, taxon_key FROM labels WHERE taxon_key IS NOT NULL) AS labels
ANTI JOIN species_outcomes USING (label)
JOIN contexts USING (label)
-- A pro parte synonym does not decide: the label's other columns do.
JOIN backbone.names AS names ON names.taxon_id = labels.taxon_key AND NOT names.is_pro_parte
JOIN backbone.taxa AS taxa ON taxa.taxon_id = names.accepted_id
WHERE 'taxon_key' IN (SELECT name FROM strategies);
