-- What the strategies say that find a species; each `find_*.sql` adds its candidates, `judge.sql` its outcomes.
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
    -- Of an ambiguous label whose candidates share it: the genus, as an `answer_key`.
    common_genus VARCHAR,
    detail VARCHAR
);

-- Every candidate that was weighed, for the explanation of an answer.
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
