-- The part in which each image is downloaded. `host_pieces` lists the parts that a large host is spread over, and the turn
-- of each piece; a small host is in one part. Rows with the same URL are in the same part, so that it is fetched once.
-- Rows that were assigned before (`dealt_rows`) keep their part.
CREATE OR REPLACE TEMP VIEW dealt AS
WITH hosted AS (
    SELECT
        given.*,
        host_pieces.pieces,
        host_pieces.turns,
        coalesce(len(host_pieces.pieces), 1)::BIGINT AS host_parts
    FROM given
    LEFT JOIN host_pieces USING (host)
),

turned AS (
    -- By MD5, because the result of hash() may change between DuckDB versions.
    SELECT *, (md5_number_lower(source_url) % host_parts)::BIGINT AS piece
    FROM hosted
)

SELECT
    turned.* EXCLUDE (pieces, turns, host_parts, piece),
    coalesce(dealt_rows.host_parts, turned.host_parts) AS host_parts,
    coalesce(dealt_rows.host_turn, turns[piece + 1], piece) AS host_turn,
    coalesce(dealt_rows.part, pieces[piece + 1], (md5_number_lower(turned.host) % getvariable('parts'))::BIGINT) AS part
FROM turned
LEFT JOIN dealt_rows ON turned.uuid = dealt_rows.uuid AND turned.host = dealt_rows.host;
