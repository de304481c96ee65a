"""Captions as in the dataset cards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.common.captions import (
    TEXT_TYPES,
    Captions,
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


def test_captions_by_the_rules_of_treeoflife_10ms_writer() -> None:
    """make_wds.py: genus and species make the scientific name; the common name falls back to it, then to all ranks."""
    beetle = Taxon(("Animalia", "Arthropoda", "Insecta", "Coleoptera", "", "", ""), scientific_name="Coleoptera")
    written = {text_type: caption(beetle, text_type, "treeoflife10m") for text_type in TEXT_TYPES}
    # make_wds.py writes two spaces before "with", which tokenizers treat as one.
    assert written == {
        "sci": "a photo of .",
        "com": "a photo of Animalia Arthropoda Insecta Coleoptera.",
        "taxon": "a photo of Animalia Arthropoda Insecta Coleoptera.",
        "sci_com": "a photo of  with common name Animalia Arthropoda Insecta Coleoptera.",
        "taxon_com": "a photo of Animalia Arthropoda Insecta Coleoptera"
        " with common name Animalia Arthropoda Insecta Coleoptera.",
    }
    genus = Taxon(("Animalia", "", "", "", "", "Pica", ""))
    assert caption(genus, "sci_com", "treeoflife10m") == "a photo of Pica with common name Pica."
    assert fill_template("{com}: {sci}", beetle, {}, "treeoflife10m") == "Animalia Arthropoda Insecta Coleoptera:"
    with pytest.raises(ValueError, match="without any name"):
        caption(Taxon(("",) * 7), "sci", "treeoflife10m")


def test_captions_by_the_rules_of_treeoflife_200ms_writer() -> None:
    """tol2webdataset/utils.py: trailing dots are stripped, ranks named unknown are left out."""
    spider = Taxon(("Animalia", "Arthropoda", "unknown", "Araneae", "Unknown", "", ""), scientific_name="Araneae sp.")
    assert caption(spider, "sci", "treeoflife200m") == "a photo of Araneae sp."
    assert caption(spider, "taxon", "treeoflife200m") == "a photo of Animalia Arthropoda Araneae."
    assert caption(spider, "sci") == "a photo of Araneae sp.."
    assert "unknown" in caption(spider, "taxon")
    assert caption(Taxon(("Unknown",) * 7), "sci", "treeoflife200m") == "a photo of Unknown."


@pytest.mark.parametrize("captions", ["treeoflife10m", "treeoflife200m"])
@pytest.mark.parametrize("text_type", TEXT_TYPES)
def test_a_species_has_the_same_captions_by_all_rules(captions: Captions, text_type: str) -> None:
    assert caption(MAGPIE, text_type, captions) == caption(MAGPIE, text_type)


def test_templates_leave_out_what_is_not_known() -> None:
    template = "a photo of {sci}[, {sex} {lifeStage}][ from {country}]."
    assert template_columns(template) == ["sex", "lifeStage", "country"]
    known = {"sex": "female", "lifeStage": "adult", "country": " New\nZealand"}
    assert fill_template(template, MAGPIE, known) == "a photo of Pica hudsonia, female adult from New Zealand."
    partly = known | {"sex": None, "country": ""}
    assert fill_template(template, MAGPIE, partly) == "a photo of Pica hudsonia."


@pytest.mark.parametrize("template", ["a photo.", "{lifeStage}", "{sci", "[{sci}", "{sci} [a [b]]", "{}"])
def test_an_invalid_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"braces"):
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
