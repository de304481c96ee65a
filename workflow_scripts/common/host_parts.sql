-- In which part an image is fetched. `host_pieces` lists the parts that a large host is spread over; a small host is
-- whole in one part. Rows of one address are never parted, so that it is fetched once.
CREATE OR REPLACE TEMP VIEW dealt AS
WITH hosted AS (
    SELECT
        given.*,
        host_pieces.pieces,
        coalesce(len(host_pieces.pieces), 1)::BIGINT AS host_parts
    FROM given
    LEFT JOIN host_pieces USING (host)
),

turned AS (
    -- By the digest's bits, which never change, and not by a hash that a new version may compute otherwise.
    SELECT *, (md5_number_lower(source_url) % host_parts)::BIGINT AS host_turn
    FROM hosted
)

SELECT
    * EXCLUDE (pieces),
    coalesce(pieces[host_turn + 1], (md5_number_lower(host) % getvariable('parts'))::BIGINT) AS part
FROM turned;
