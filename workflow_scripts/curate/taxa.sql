-- One row per label: its taxon, and the reason if the config's taxa filter leaves it out.
-- Table held_out: names (lower case) of species that are kept out of training.
-- Variables: ranks (highest first), min_rank, include and exclude (lower case).
CREATE TEMP TABLE taxa AS
WITH named AS (
    SELECT
        label_id,
        match_type,
        resolved_rank,
        reason AS why_unresolved,
        -- Taxa are identified by name, not id: labels of one species may be resolved by different backbones.
        concat_ws(
            ' ',
            kingdom,
            coalesce(scientific_name, genus || ' ' || species, genus, family, "order", class, phylum)
        ) AS taxon,
        -- The names that the filter accepts for it; an epithet alone is not a name.
        [
            lower(kingdom), lower(phylum), lower(class), lower("order"), lower(family), lower(genus),
            lower(genus || ' ' || species), lower(scientific_name)
        ] AS names
    FROM labels
)

SELECT
    label_id,
    taxon,
    -- A number identifies the taxon in a tenth of the memory.
    dense_rank() OVER (ORDER BY taxon) AS taxon_number,
    names,
    resolved_rank = 'species' AS is_species,
    CASE
        WHEN match_type = 'none' OR resolved_rank IS NULL
            THEN {'reason': 'unresolved', 'detail': why_unresolved}
        WHEN len(getvariable('include')) > 0 AND NOT list_has_any(names, getvariable('include'))
            THEN {'reason': 'taxon_excluded', 'detail': 'not included: ' || taxon}
        WHEN list_has_any(names, getvariable('exclude'))
            THEN {'reason': 'taxon_excluded', 'detail': list_min(list_intersect(names, getvariable('exclude')))}
        -- A rank other than the seven is left out; the detail shows it.
        WHEN coalesce(list_position(getvariable('ranks'), resolved_rank), 0)
            < list_position(getvariable('ranks'), getvariable('min_rank'))
            THEN {'reason': 'rank_too_high', 'detail': resolved_rank}
        WHEN list_has_any(names, (SELECT list(name) FROM held_out))
            THEN {'reason': 'held_out_species', 'detail': taxon}
    END AS objection
FROM named;
