-- The candidates of one label that the attached `backbone` was asked for, in the order in which they were weighed.
-- In: `weighed`. The label's own columns come from `resolve.match_labels`.
SELECT
    weighed.finder,
    shown(weighed.key) AS name,
    CASE weighed.tier WHEN 0 THEN 'accepted' WHEN 1 THEN 'synonym' ELSE 'doubtful' END AS standing,
    weighed.taxon_id,
    weighed.answer_id,
    concat_ws(' ', taxa.kingdom, taxa.phylum, taxa.class, taxa."order", taxa.family, taxa.scientific_name) AS lineage,
    weighed.distance,
    weighed.agreeing,
    weighed.filled_agreeing,
    weighed.differing,
    CASE
        WHEN weighed.in_conflict THEN 'out: its kingdom is not the label''s'
        WHEN is_another(weighed.agreeing, weighed.differing) THEN 'out: no rank of the label agrees'
        WHEN weighed.taxon_id = species_outcomes.taxon_id THEN 'chosen by ' || species_outcomes.strategy
        WHEN species_outcomes.reason = 'ambiguous' THEN 'fits as well as another'
        ELSE 'not chosen: another fits better'
    END AS fate
FROM weighed
JOIN backbone.taxa AS taxa ON taxa.taxon_id = weighed.answer_id
LEFT JOIN species_outcomes USING (label)
ORDER BY weighed.distance, weighed.agreeing DESC, weighed.filled_agreeing DESC, weighed.tier, weighed.taxon_id;
