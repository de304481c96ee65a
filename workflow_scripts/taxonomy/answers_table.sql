-- What each backbone says of each label; `answers.sql` fills it.
CREATE OR REPLACE TEMP TABLE answers (
    label INTEGER,
    backbone_place INTEGER,
    grade INTEGER,
    reason VARCHAR,
    strategy VARCHAR,
    match_type VARCHAR,
    taxon_id VARCHAR,
    accepted_id VARCHAR,
    confidence DOUBLE,
    kingdom VARCHAR,
    phylum VARCHAR,
    class VARCHAR,
    "order" VARCHAR,
    family VARCHAR,
    genus VARCHAR,
    species VARCHAR,
    scientific_name VARCHAR,
    resolved_rank VARCHAR,
    common_name VARCHAR,
    detail VARCHAR
);
