-- One row per candidate of a span of uuids: whether it is kept, in which split, and if not, why.
SELECT
    drawn.uuid,
    drawn.label_id,
    CASE WHEN drawn.objection IS NULL AND rescued.occurrence IS NOT NULL THEN 'train' ELSE drawn.split END AS split,
    drawn.objection IS NULL AS keep,
    drawn.objection.reason AS reason,
    drawn.objection.detail AS detail,
    drawn.occurrence,
    drawn.md5,
    drawn.crop,
    drawn.part,
    drawn.tar,
    drawn."offset",
    drawn.size
FROM drawn
LEFT JOIN rescued ON drawn.occurrence = rescued.occurrence
WHERE in_span(drawn.uuid)
ORDER BY drawn.uuid
