-- Binomials misspelt by two letters, if the label's author or family supports the species: strategy fuzzy_supported.
-- In: `plausible`, `near` and `near_genera` of `find_fuzzy.sql`, `species_outcomes` and `strategies`. Out: `found`.

-- Siblings share a family, so the family supports only doubled and undoubled letters. Many also share an author, so the
-- letters must look like a misspelling. If a name one letter away was rejected, none at two letters is taken.
CREATE OR REPLACE TEMP TABLE found AS
SELECT label, priority, query, key, tier, taxon_id, accepted_id, letters AS distance
FROM plausible
ANTI JOIN species_outcomes USING (label)
WHERE
    letters = 2
    AND is_mistake
    AND length >= 8
    AND left(query_epithet, 1) = left(epithet, 1)
    AND label NOT IN (SELECT label FROM near WHERE letters = 1)
    AND (
        author_agrees >= 0.5
        OR (query_family = family AND without_doubles(query_epithet) = without_doubles(epithet))
    )
    AND 'fuzzy_supported' IN (SELECT name FROM strategies)
UNION ALL
SELECT label, priority, query, key, tier, taxon_id, accepted_id, letters
FROM near_genera
ANTI JOIN species_outcomes USING (label)
WHERE letters = 2 AND length >= 10 AND 'fuzzy_supported' IN (SELECT name FROM strategies);
