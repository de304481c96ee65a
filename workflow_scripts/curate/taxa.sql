-- One row per label: the taxon it names and what the config's taxa filter says of it.
-- Table held_out: names of species (lower case) that no training image may have.
-- Variables: ranks (highest first), min_rank, include and exclude (lower case).
CREATE TEMP TABLE taxa AS
WITH named AS (
    SELECT
        label_id,
        match_type,
        resolved_rank,
        reason AS why_unresolved,
        -- The taxon's identity by name, not by id: two backbones may answer for labels of one species.
        concat_ws(
            ' ',
            kingdom,
            coalesce(scientific_name, genus || ' ' || species, genus, family, "order", class, phylum)
        ) AS taxon,
        -- What a person may call it in the filter. An epithet alone names no taxon.
        [
            lower(kingdom), lower(phylum), lower(class), lower("order"), lower(family), lower(genus),
            lower(genus || ' ' || species), lower(scientific_name)
        ] AS names
    FROM labels
)

SELECT
    label_id,
    taxon,
    -- A number is enough to tell taxa apart, and a tenth of the memory.
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
        -- A rank that is none of the seven has no place among them: it is left out, and the detail shows it.
        WHEN coalesce(list_position(getvariable('ranks'), resolved_rank), 0)
            < list_position(getvariable('ranks'), getvariable('min_rank'))
            THEN {'reason': 'rank_too_high', 'detail': resolved_rank}
        WHEN list_has_any(names, (SELECT list(name) FROM held_out))
            THEN {'reason': 'held_out_species', 'detail': taxon}
    END AS objection
FROM named;
