-- The outcomes of the strategies for species. `find_direct.sql` and `judge.sql` add rows, at most one per label.
CREATE OR REPLACE TEMP TABLE species_outcomes (
    label INTEGER,
    reason VARCHAR,
    strategy VARCHAR,
    match_type VARCHAR,
    taxon_id VARCHAR,
    answer_id VARCHAR,
    agreeing INTEGER,
    differing INTEGER,
    distance INTEGER,
    -- The genus that all candidates of an ambiguous label share, as an `answer_key`.
    common_genus VARCHAR,
    detail VARCHAR
);

-- Every candidate that was weighed, for `taxonomy.explain`.
CREATE OR REPLACE TEMP TABLE weighed (
    finder VARCHAR,
    label INTEGER,
    key VARCHAR,
    tier TINYINT,
    taxon_id VARCHAR,
    answer_id VARCHAR,
    distance INTEGER,
    agreeing INTEGER,
    filled_agreeing INTEGER,
    differing INTEGER,
    in_conflict BOOLEAN,
    author_agrees DOUBLE
);
