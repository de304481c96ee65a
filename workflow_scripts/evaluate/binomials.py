"""Genus and epithet of a row whose table has them in one column or in two."""

from itertools import takewhile


def genus_and_epithet(genus: str, species: str) -> tuple[str, str]:
    """Genus and epithet, with an infraspecific epithet if there is one, from a row's genus and species.

    The species may be an epithet or a complete name, as in GBIF's tables. Authors are dropped from a complete name.
    """
    words = species.split()
    if len(words) < 2 or (genus and words[0].casefold() not in (genus.casefold(), f"{genus[0]}.".casefold())):
        return genus, " ".join(words)
    return genus or words[0], " ".join([words[1], *takewhile(str.islower, words[2:])])
