-- Binomials misspelt by two letters, where the label's author or family speaks for the species: strategy fuzzy_supported.
-- In: what `find_fuzzy.sql` found near, `species_outcomes` and `strategies`. Out: `found`.

-- All siblings are of one family: it speaks only for letters doubled or left out of a double. Many are by one author:
-- the mistake must be seen in the word. Where a name is nearer than two letters, and was not taken, nothing else is.
CREATE OR REPLACE TEMP TABLE found AS
SELECT label, priority, asked, key, tier, taxon_id, accepted_id, letters AS distance
FROM plausible
ANTI JOIN species_outcomes USING (label)
WHERE
    letters = 2
    AND is_mistake
    AND length >= 8
    AND left(asked_epithet, 1) = left(epithet, 1)
    AND label NOT IN (SELECT label FROM near WHERE letters = 1)
    AND (
        author_agrees >= 0.5
        OR (asked_family = family AND without_doubles(asked_epithet) = without_doubles(epithet))
    )
    AND 'fuzzy_supported' IN (SELECT name FROM strategies)
UNION ALL
SELECT label, priority, asked, key, tier, taxon_id, accepted_id, letters
FROM near_genera
ANTI JOIN species_outcomes USING (label)
WHERE letters = 2 AND length >= 10 AND 'fuzzy_supported' IN (SELECT name FROM strategies);
