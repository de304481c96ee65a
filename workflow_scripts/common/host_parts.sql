-- In which part an image is fetched. `host_pieces` lists the parts that a large host is spread over, and the turn that each
-- piece has; a small host is whole in one part. Rows of one address are never parted, so that it is fetched once. What
-- was dealt before (`dealt_rows`) stays.
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
    -- By the digest's bits, which never change, and not by a hash that a new version may compute otherwise.
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
