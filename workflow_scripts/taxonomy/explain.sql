-- The candidates for one label in the attached `backbone`, best fit first.
-- In: `weighed`, `contexts` and `species_outcomes` of `resolve.match_labels`.
CREATE OR REPLACE TEMP MACRO rank_names(kingdom, phylum, class, "order", family) AS coalesce(nullif(concat_ws(
    ', ',
    CASE WHEN kingdom THEN 'kingdom' END,
    CASE WHEN phylum THEN 'phylum' END,
    CASE WHEN class THEN 'class' END,
    CASE WHEN "order" THEN 'order' END,
    CASE WHEN family THEN 'family' END
), ''), 'none');

SELECT
    weighed.finder,
    shown(weighed.key) AS name,
    CASE weighed.tier WHEN 0 THEN 'accepted' WHEN 1 THEN 'synonym' WHEN 2 THEN 'doubtful'
        ELSE 'of unknown status' END AS standing,
    weighed.taxon_id,
    weighed.answer_id,
    concat_ws(' ', taxa.kingdom, taxa.phylum, taxa.class, taxa."order", taxa.family, taxa.scientific_name) AS lineage,
    weighed.distance,
    rank_names(
        list_contains(contexts.kingdoms, kingdom_key(taxa.kingdom)),
        contexts.phylum = name_key(taxa.phylum),
        contexts.class = name_key(taxa.class),
        contexts."order" = name_key(taxa."order"),
        contexts.family = name_key(taxa.family)
    ) AS agreeing,
    -- Ranks that the label omits but its other ranks imply.
    rank_names(
        false,
        contexts.phylum IS NULL AND contexts.filled.phylum = name_key(taxa.phylum),
        contexts.class IS NULL AND contexts.filled.class = name_key(taxa.class),
        contexts."order" IS NULL AND contexts.filled."order" = name_key(taxa."order"),
        false
    ) AS implied,
    rank_names(
        NOT list_contains(contexts.kingdoms, kingdom_key(taxa.kingdom)),
        contexts.phylum != name_key(taxa.phylum),
        contexts.class != name_key(taxa.class),
        contexts."order" != name_key(taxa."order"),
        contexts.family != name_key(taxa.family)
    ) AS differing,
    weighed.author_agrees,
    CASE
        WHEN weighed.in_conflict THEN 'rejected: its kingdom is not the label''s'
        WHEN is_another(weighed.agreeing, weighed.differing) THEN 'rejected: no rank of the label agrees'
        WHEN weighed.taxon_id = species_outcomes.taxon_id THEN 'chosen by ' || species_outcomes.strategy
        WHEN species_outcomes.reason = 'ambiguous' THEN 'not chosen: the label is ambiguous'
        ELSE 'not chosen: another fits better'
    END AS fate
FROM weighed
JOIN contexts USING (label)
JOIN backbone.taxa AS taxa ON taxa.taxon_id = weighed.answer_id
LEFT JOIN species_outcomes USING (label)
ORDER BY
    weighed.in_conflict, weighed.distance, weighed.agreeing DESC, weighed.filled_agreeing DESC, weighed.tier,
    weighed.taxon_id;
