"""Captions as the dataset cards publish them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.common.captions import (
    TEXT_TYPES,
    Taxon,
    caption,
    fill_template,
    published_members,
    template_columns,
)

MAGPIE = Taxon(
    ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Pica", "hudsonia"), common_name="black-billed magpie"
)


def test_members_of_the_published_layout() -> None:
    tagged = (
        "kingdom Animalia phylum Chordata class Aves order Passeriformes family Corvidae genus Pica species hudsonia"
    )
    assert published_members(MAGPIE) == {
        "scientific_name.txt": "Pica hudsonia",
        "common_name.txt": "black-billed magpie",
        "taxonomic_name.txt": "Animalia Chordata Aves Passeriformes Corvidae Pica hudsonia",
        "sci.txt": "a photo of Pica hudsonia.",
        "com.txt": "a photo of black-billed magpie.",
        "taxon.txt": "a photo of Animalia Chordata Aves Passeriformes Corvidae Pica hudsonia.",
        "sci_com.txt": "a photo of Pica hudsonia with common name black-billed magpie.",
        "taxon_com.txt": "a photo of Animalia Chordata Aves Passeriformes Corvidae Pica hudsonia"
        " with common name black-billed magpie.",
        "taxonTag.txt": f"a photo of {tagged}.",
        "taxonTag_com.txt": f"a photo of {tagged} with common name black-billed magpie.",
    }


def test_missing_common_name_falls_back_to_the_scientific_name() -> None:
    assert caption(Taxon(MAGPIE.ranks), "com") == "a photo of Pica hudsonia."


def test_the_most_specific_known_rank_names_an_unidentified_organism() -> None:
    beetle = Taxon(("Animalia", "Arthropoda", "Insecta", "Coleoptera", "", "", ""))
    assert caption(beetle, "sci") == "a photo of Coleoptera."
    assert caption(beetle, "taxon") == "a photo of Animalia Arthropoda Insecta Coleoptera."


def test_a_nameless_taxon_has_no_caption() -> None:
    with pytest.raises(ValueError, match="without any name"):
        caption(Taxon(("",) * 7), "sci")


def test_templates_leave_out_what_is_not_known() -> None:
    template = "a photo of {sci}[, {sex} {lifeStage}][ from {country}]."
    assert template_columns(template) == ["sex", "lifeStage", "country"]
    known = {"sex": "female", "lifeStage": "adult", "country": " New\nZealand"}
    assert fill_template(template, MAGPIE, known) == "a photo of Pica hudsonia, female adult from New Zealand."
    partly = known | {"sex": None, "country": ""}
    assert fill_template(template, MAGPIE, partly) == "a photo of Pica hudsonia."


@pytest.mark.parametrize("template", ["a photo.", "{lifeStage}", "{sci", "[{sci}", "{sci} [a [b]]", "{}"])
def test_a_template_that_is_none_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"braces|names none"):
        template_columns(template)


words = st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=12)


@given(
    st.fixed_dictionaries(
        {
            rank: st.none() | words
            for rank in (
                "kingdom",
                "phylum",
                "class",
                "order",
                "family",
                "genus",
                "species",
                "scientific_name",
                "common_name",
            )
        }
    )
)
def test_captions_have_single_spaces_and_are_never_empty(row: dict[str, str | None]) -> None:
    taxon = Taxon.from_row(row)
    if not (taxon.scientific or taxon.common_name):
        return
    for text_type in TEXT_TYPES:
        if not taxon.scientific and text_type != "com":
            continue
        text = caption(taxon, text_type)
        assert text == " ".join(text.split())
        assert len(text) > len("a photo of .")
