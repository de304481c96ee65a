"""A licence's text or URL gives its own SPDX identifier or none, never that of another licence."""

import os
import re
from pathlib import Path

import pytest

from workflow_scripts.catalog.licences import licence_of, spdx_of

REAL_DATA = os.environ.get("TREEOFLIFE_REAL_DATA")


@pytest.mark.parametrize(
    "written, spdx",
    [
        ("CC0", "CC0-1.0"),
        ("CC0_1_0", "CC0-1.0"),
        ("no rights reserved (CC0)", "CC0-1.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/legalcode", "CC0-1.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("cc-by-nc-sa-3.0", "CC-BY-NC-SA-3.0"),
        ("CC_BY_NC_4_0", "CC-BY-NC-4.0"),
        ("https://creativecommons.org/licenses/by-nd/2.5/", "CC-BY-ND-2.5"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International", "CC-BY-NC-SA-4.0"),
        ("CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/legalcode#languages)", "CC-BY-4.0"),
        ("Public Domain", "CC-PDM-1.0"),
        ("http://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("http://www.opendatacommons.org/licenses/odbl/1.0", "ODbL-1.0"),
        ("Open Government Licence v3.0", "OGL-UK-3.0"),
        ("Open Government Licence - Canada version 2.0", None),
        ("Licence Ouverte / Open Licence 2.0", "etalab-2.0"),
        # Ported: the jurisdiction is part of the licence.
        ("https://creativecommons.org/licenses/by-nc-sa/3.0/de/deed.en", "CC-BY-NC-SA-3.0-DE"),
        ("Creative Commons Attribution 3.0 United States License", "CC-BY-3.0-US"),
        ("CC BY-SA 3.0 (generic) [http://creativecommons.org/licenses/by-sa/3.0/de/]", "CC-BY-SA-3.0"),
        # Without a version it is what it is.
        ("CC BY", "CC-BY"),
        ("(c) Jo Smith, some rights reserved (CC BY-NC)", "CC-BY-NC"),
        ("CC BY-SA-NC, no commercial use", "CC-BY-NC-SA"),
        ("CC BY-NC (Attribution)", "CC-BY-NC"),
        ("ccbync", "CC-BY-NC"),
        ("CCBY4.0", "CC-BY-4.0"),
        ("Attribution-ShareAlike 3.0 Unported", "CC-BY-SA-3.0"),
        # As other languages' deeds are titled.
        ("Creative Commons Atribución-NoComercial-SinDerivadas 4.0 Internacional", "CC-BY-NC-ND-4.0"),
        ("Creative Commons Reconocimiento-SinObraDerivada 3.0 España", "CC-BY-ND-3.0-ES"),
        ("Creative Commons Atribuição-NãoComercial-SemDerivações 4.0 Internacional", "CC-BY-NC-ND-4.0"),
        ("Creative Commons Attribuzione - Non commerciale - Non opere derivate 4.0 Internazionale", "CC-BY-NC-ND-4.0"),
        ("Creative Commons Attribuzione - Condividi allo stesso modo 4.0", "CC-BY-SA-4.0"),
        ("Naamsvermelding-NietCommercieel-GelijkDelen 4.0 Internationaal", "CC-BY-NC-SA-4.0"),
        ("Creative Commons Erkännande-IckeKommersiell 4.0", "CC-BY-NC-4.0"),
        ("Creative Commons Navngivelse-DelPåSammeVilkår 4.0", "CC-BY-SA-4.0"),
        ("Licence Creative Commons Attribution - Partage à l’identique 2.0 France", "CC-BY-SA-2.0-FR"),
        ("Dominio público", "CC-PDM-1.0"),
        ("Open Data Commons Attribution License", "ODC-By-1.0"),
        ("Open Database License", "ODbL-1.0"),
        # English, and letters that belong to somebody's name.
        ("photo by Jo Smith", None),
        ("Museum of SA, CC BY 4.0", "CC-BY-4.0"),
        # Two licences, none, or doubt.
        ("CC BY 4.0 and CC BY-NC 4.0", None),
        ("CC BY 4.0; CC BY 3.0", None),
        ("CC BY-SA-ND 4.0", None),
        ("CC BY-NC 5.0", None),
        ("CC BY-SA-NC-XX 4.0", None),
        ("all rights reserved", None),
        ("Todos os direitos reservados. CC BY", None),
        ("Tutti i diritti riservati (CC BY)", None),
        ("Alle rechten voorbehouden, CC-BY 4.0", None),
        # Words that nothing is known of, where a condition may stand.
        ("Creative Commons Attribution Hanya untuk Riset 4.0", None),
        ("(c) Jo Smith, all rights reserved (not CC BY)", None),
        ("not CC BY 4.0", None),
        ("CC BY or CC BY-NC", None),
        ("CC BY; commercial use prohibited", None),
        ("Non-commercial use only (CC BY)", None),
        ("CC BY-NC-SA 4.0 No Derivatives", None),
        ("UNSPECIFIED", None),
        ("", None),
        (None, None),
    ],
)
def test_a_licence_gets_its_identifier(written: str | None, spdx: str | None) -> None:
    assert spdx_of(written) == spdx


@pytest.mark.parametrize(
    "name, link, spdx",
    [
        ("CC BY", "https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("see link", "https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("CC BY 4.0", "https://a.org/terms", "CC-BY-4.0"),
        ("CC BY", "https://creativecommons.org/licenses/by-nc/4.0/", None),
        ("CC BY 3.0", "https://creativecommons.org/licenses/by/4.0/", None),
        ("© All rights reserved", "https://creativecommons.org/licenses/by/4.0/", None),
        (None, None, None),
    ],
)
def test_a_name_and_a_link_together_give_one_licence_or_none(
    name: str | None, link: str | None, spdx: str | None
) -> None:
    assert licence_of(name, link) == spdx


@pytest.mark.parametrize("form", ["CC {} {}", "cc_{}_{}", "https://creativecommons.org/licenses/{}/{}/deed.fr"])
@pytest.mark.parametrize("letters", ["by", "by-nc", "by-nc-sa", "by-nc-nd", "by-sa", "by-nd"])
@pytest.mark.parametrize("version", ["1.0", "2.0", "2.5", "3.0", "4.0"])
def test_every_licence_in_every_form(form: str, letters: str, version: str) -> None:
    assert spdx_of(form.format(letters, version)) == f"CC-{letters.upper()}-{version}"


@pytest.mark.skipif(REAL_DATA is None, reason="left out: TREEOFLIFE_REAL_DATA names no folder of real files")
def test_gbifs_own_list_of_licence_texts_is_read_as_gbif_reads_it() -> None:
    """A licence written without a version stays without one, although GBIF assumes the current version."""
    read = 0
    for line in Path(str(REAL_DATA), "real/vocabularies/license_uri.tsv").read_text(errors="replace").splitlines():
        written, _, address = line.partition("\t")
        named = re.search(r"creativecommons\.org/licenses/([a-z-]+)/(\d\.\d)/$", address)
        if named is None or written.startswith("#"):
            continue
        read += 1
        expected = f"CC-{named[1].upper()}"
        assert spdx_of(written) == (f"{expected}-{named[2]}" if re.search(r"\d\.\d", written) else expected), written
    assert read > 60
