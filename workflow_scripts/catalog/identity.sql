-- Macros that all readers use: the ids of labels and media, and a URL's host.

-- An unambiguous encoding of a list of texts: each with its length before it, "-" for NULL.
CREATE OR REPLACE TEMP MACRO joined_texts(texts) AS
    array_to_string(list_transform(texts, lambda text: coalesce(length(text) || ':' || text, '-')), '');

-- A label's id: a hash of the seven ranks and the scientific name as written by the provider, without the common name.
CREATE OR REPLACE TEMP MACRO label_id_of(kingdom, phylum, class, "order", family, genus, species, scientific_name) AS
    left(
        sha256(joined_texts([kingdom, phylum, class, "order", family, genus, species, scientific_name])),
        32
    );

-- Host and port of an http(s) URL in lower case, without credentials and default ports; "" for anything else.
CREATE OR REPLACE TEMP MACRO host_of(url) AS
    regexp_replace(lower(regexp_extract(url, '^(?i:https?)://(?:[^/?#@\s]*@)?([^/?#@\s]+)', 1)), ':(80|443)$', '');
