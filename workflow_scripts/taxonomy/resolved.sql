-- One row per label (contract LABELS): the answer of the best grade, then of the preferred backbone.
-- In: `labels` and `answers`.
SELECT
    labels.label_id,
    labels.kingdom AS provider_kingdom,
    labels.phylum AS provider_phylum,
    labels.class AS provider_class,
    labels."order" AS provider_order,
    labels.family AS provider_family,
    labels.genus AS provider_genus,
    labels.species AS provider_species,
    labels.scientific_name AS provider_scientific_name,
    labels.common AS provider_common,
    best.kingdom,
    best.phylum,
    best.class,
    best."order",
    best.family,
    best.genus,
    best.species,
    best.scientific_name,
    -- The provider's common name only if the backbone has none for the taxon; its rank is then unknown.
    CASE
        WHEN best.reason IS NULL
            THEN coalesce(best.common_name, plain_text(labels.common), best.higher_common_name)
    END AS common_name,
    CASE
        WHEN best.common_name IS NOT NULL THEN best.resolved_rank
        WHEN plain_text(labels.common) IS NULL THEN best.higher_common_name_rank
    END AS common_name_rank,
    best.taxon_id,
    best.accepted_id,
    best.match_type,
    best.strategy,
    best.confidence,
    best.resolved_rank,
    best.reason,
    best.detail,
    labels.images
FROM labels
JOIN (
    SELECT label, arg_min(backbone_place, (grade, backbone_place)) AS backbone_place
    FROM answers
    GROUP BY label
) AS preferred USING (label)
JOIN answers AS best USING (label, backbone_place)
