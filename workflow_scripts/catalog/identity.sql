-- What a record is called by: the identity of a label and of a medium, and a URL's host. The same for all readers.

-- Texts, in order, as one text from which they could be read again: the length before each, "-" for NULL.
CREATE OR REPLACE TEMP MACRO joined_texts(texts) AS
    array_to_string(list_transform(texts, lambda text: coalesce(length(text) || ':' || text, '-')), '');

-- The identity of a label: what its provider wrote, nothing else. Not the common name, which is no part of it.
CREATE OR REPLACE TEMP MACRO label_id_of(kingdom, phylum, class, "order", family, genus, species, scientific_name) AS
    left(
        sha256(joined_texts([kingdom, phylum, class, "order", family, genus, species, scientific_name])),
        32
    );

-- Host and port of an http(s) URL in lower case, without user and password, and without the usual port; "" for anything
-- else.
CREATE OR REPLACE TEMP MACRO host_of(url) AS
    regexp_replace(lower(regexp_extract(url, '^(?i:https?)://(?:[^/?#@\s]*@)?([^/?#@\s]+)', 1)), ':(80|443)$', '');
