"""SPDX identifiers (https://spdx.org/licenses) for licences as people write them.

Nothing is added to a Creative Commons licence: one without a version stays without (`CC-BY-NC`), and a ported one keeps
its jurisdiction (`CC-BY-3.0-ES`, even if SPDX does not list that port). Texts with two different licences, or with all
rights reserved, have no identifier.
"""

import re
import unicodedata
from functools import lru_cache

# Names of licence elements in several languages, by their abbreviations in licence URLs.
WORDS = {
    "by": r"attribution|atribucion|atribuicao|attribuzione|namensnennung|reconocimiento|reconeixement|paternite"
    r"|naamsvermelding|erkannande|navngivelse|kreditering|uznanie autorstwa",
    "nc": r"non ?commerciale?|nao ?comercial|no ?comercial|nicht ?kommerziell|niet ?commercieel|icke ?kommersiell"
    r"|ikke ?kommers?iell?|uzycie niekomercyjne|pas d utilisation commerciale"
    r"|utilisation (?:non commerciale|commerciale interdite)",
    "sa": r"share ?alike|compartir ?igual|compartilha ?igual|partilha ?igual|condividi allo stesso modo|gelijk ?delen"
    r"|partage (?:dans les memes conditions|a l identique)|weitergabe unter gleichen bedingungen|dela ?lika"
    r"|del ?pa ?samme ?vilkar|na tych samych warunkach",
    "nd": r"no ?deriv(?:ative|ate)?s?(?: works)?|sin ?obras? ?derivadas?|sin ?derivad[ao]s?|sin ?derivar"
    r"|sense ?obra ?derivada|sem ?deriva(?:coes|dos)|non opere derivate|geen ?afgeleide ?werken|inga ?bearbetningar"
    r"|ingen ?bearbei?j?delser?|keine bearbeitung(?:en)?|pas de modifications?|bez utworow zaleznych",
    "cc": r"creative ?commons?|creativecommons org",
    "public domain": r"dominio publico|pubblico dominio|domini public|domaine public|gemeinfrei|publiek domein",
}
JURISDICTIONS = re.compile(
    "a[rtuz]|b[egr]|c[ahlnorz]|d[ek]|e[cegs]|f[ir]|g[rt]|h[kru]|i[elnt]|igo|jp|kr|lu|m[ktxy]|n[loz]|p[ehlrt]|r[os]"
    "|s[egi]|scotland|t[hw]|u[agks]|v[en]|za"
)
COUNTRIES = {
    **{"australia": "au", "austria": "at", "brazil": "br", "brasil": "br", "canada": "ca", "deutschland": "de"},
    **{"espana": "es", "england and wales": "uk", "france": "fr", "germany": "de", "italia": "it", "italy": "it"},
    **{"japan": "jp", "netherlands": "nl", "new zealand": "nz", "osterreich": "at", "portugal": "pt", "spain": "es"},
    **{"schweiz": "ch", "switzerland": "ch", "united kingdom": "uk", "united states": "us"},
}
# Letters that Unicode does not decompose.
UNDIVIDED = str.maketrans({"ł": "l", "ø": "o", "æ": "ae", "ß": "ss"})
VERSIONS = ("1.0", "2.0", "2.1", "2.5", "3.0", "4.0")
# Licences without elements (by, nc, ...).
OTHERS = (
    ("CC0-1.0", r"\bcc ?0\b|\bcc ?zero\b|\bpublic ?domain zero\b|\bpublic domain cc0\b"),
    ("CC-PDM-1.0", r"\bpublic ?domain mark\b|\bpdm\b|\bno known copyright\b"),
    ("PDDL-1.0", r"\bopendatacommons org licenses pddl\b|\bpddl\b"),
    ("ODC-By-1.0", r"\bopendatacommons org licenses by\b|\bodc by\b|\bopen data commons by\b"),
    *((f"OGL-UK-{n}.0", rf"\b(?:ogl uk|open government licen[sc]e) (?:v |version )?{n} 0\b") for n in (1, 2, 3)),
    ("etalab-2.0", r"\betalab 2 0\b|\blicence ouverte (?:open licen[cs]e )?(?:v |version )?2 0\b"),
    ("ODbL-1.0", r"\bopendatacommons org licenses odbl\b|\bodbl\b|\bopen database licen[sc]e\b"),
)
RESERVED = (
    r"\ball rights? reserved\b|\btodos (?:los derechos|os direitos) reservados\b|\btous (?:les )?droits reserves\b"
    r"|\balle rechten? (?:vorbehalten|voorbehouden)\b|\btutti i diritti (?:sono )?riservati\b"
    r"|\btots els drets reservats\b|\balla rattigheter (?:forbehallna|reserverade)\b|\bwszelkie prawa zastrzezone\b"
    r"|\balle rettigheder forbeholdt\b|\balle rettigheter (?:reservert|forbeholdt)\b|\bkaikki oikeudet pidatetaan\b"
)
ELEMENTS = r"by(?: (?:nc|sa|nd))*"
VERSION = r"(\d)(?: (\d))?"
# Words allowed between a licence's elements and its version.
BETWEEN = (
    r"(?:(?:cc|licen[sc]es?|licencia|licenca|licenza|lizenz|licentie|public|v|ver|version|versione|generic|unported"
    r"|intern[a-z]+onaa?le?|internacional|internazionale) )*"
)
TITLE = rf"{ELEMENTS}(?: {BETWEEN}{VERSION}(?: (?:unported|generic|int[a-z]+a?le?))?)?(?: licen[sc]e)?"
# Conditions written beside a licence's elements ("CC BY, no commercial use").
CONDITIONS = (("nc", r"(?<!\S)nc(?!\S)|\bcommercial\b"), ("nd", r"(?<!\S)nd(?!\S)"))
DENIED = re.compile(r"(?<!\S)(?:not|except|excluding|nicht|sauf) (?:\w+ ){0,3}cc(?!\S)")
# A version after unknown words, which may be conditions ("CC BY-XX 4.0").
UNCLEAR = re.compile(rf"(?<!\S){ELEMENTS}(?: [a-z]+){{1,8}} [1-4] [015](?!\S)")
MENTION = re.compile(rf"(?<!\S)((?:cc )?){ELEMENTS}(?!\S)")
VERSIONED = re.compile(rf"(?<!\S)({ELEMENTS}) {BETWEEN}{VERSION}(?: (\w+))?(?!\S)")


@lru_cache(maxsize=4096)
def spdx_of(written: str | None) -> str | None:
    """The SPDX identifier of the licence named in a text or URL; None if it names none, or more than one.

    Args:
        written: a name ("CC BY-NC 4.0"), a URL (of a deed or legal code), or a sentence that contains either.
    """
    text = _words(written or "")
    if not text or re.search(RESERVED, text) or DENIED.search(text):
        return None
    found = {name for name, pattern in OTHERS if re.search(pattern, text)}
    if re.fullmatch(r"(?:cc )?public ?domain(?: mark)?(?: 1 0)?(?: dedication)?", text):
        found.add("CC-PDM-1.0")
    if "CC0-1.0" in found:
        # Texts of CC0 also mention the public domain.
        found.discard("CC-PDM-1.0")
    parts = _creative_commons(text)
    if parts is not None and not found:
        return _identifier(parts, text)
    return found.pop() if len(found) == 1 and not parts else None


def licence_of(name: str | None, link: str | None) -> str | None:
    """The SPDX identifier from a licence's name and URL together; None if they contradict each other."""
    if re.search(RESERVED, _words(name or "")):
        return None
    found = {licence for licence in (spdx_of(name), spdx_of(link)) if licence is not None}
    if len(found) < 2:
        return next(iter(found), None)
    # The URL may have the version that the name omits.
    shorter, longer = sorted(found, key=len)
    return longer if re.fullmatch(rf"{re.escape(shorter)}-\d.*", longer) else None


def _words(written: str) -> str:
    """The text as lower-case ASCII words and numbers, with licence elements abbreviated ("by", "nc", ...)."""
    plain = unicodedata.normalize("NFKD", written.lower()).translate(UNDIVIDED)
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    text = " ".join(re.findall(r"[a-z]+|\d+", re.sub(r"(\d)\.(\d)", r"\1 \2", plain.replace("cc0", " cc 0 "))))
    # Drop URL parts that carry no information, including the host of licence button images.
    text = re.sub(r"\b(?:https?|www) ", "", f"{text} ").strip()
    text = re.sub(
        r"\b(?:i )?creativecommons org (?:licen[sc]es|l|publicdomain|share your work public domain)\b", "cc", text
    )
    text = re.sub(r"\bcc (zero|mark)\b", r"public domain \1", text)
    # "CCBYNC"
    text = re.sub(r"\b(?:cc)?by(?:nc|sa|nd)*\b", lambda glued: " ".join(re.findall("..", glued[0])), text)
    for letters, names in WORDS.items():
        text = re.sub(rf"\b(?:{names})\b", letters, text)
    return text


def _creative_commons(text: str) -> frozenset[str] | None:
    """The elements (by, nc, sa, nd) of a Creative Commons licence; None unless the text names exactly one."""
    mentions = [(bool(found.group(1)), frozenset(found.group().split()) - {"cc"}) for found in MENTION.finditer(text)]
    is_creative = bool(re.search(r"(?<!\S)cc(?!\S)", text)) or bool(re.fullmatch(TITLE, text))
    # "by" is also an English word: alone, it counts only after "cc", at the start of the text or before a version.
    sure = {elements for is_named, elements in mentions if is_named or len(elements) > 1}
    if not is_creative or not mentions:
        return None
    if not sure:
        sure = {frozenset({"by"})} if re.search(rf"(?<!\S)cc by|^by\b|by {VERSION}", text) else set()
    largest = max(sure, key=len, default=None)
    # A licence may be named twice, once in part ("CC BY-NC (Attribution)"); two different ones are ambiguous.
    named = {elements for is_named, elements in mentions if is_named}
    if largest is None or len(named) > 1 or not all(elements <= largest for elements in sure):
        return None
    return largest if all(letters in largest or not re.search(words, text) for letters, words in CONDITIONS) else None


def _identifier(elements: frozenset[str], text: str) -> str | None:
    if {"sa", "nd"} <= elements:
        return None
    name = "-".join(["CC", *(part.upper() for part in ("by", "nc", "nd", "sa") if part in elements)])
    matches = list(VERSIONED.finditer(text))
    found = [(f"{match[2]}.{match[3] or 0}", match[4] or "") for match in matches]
    versions = {version for version, _ in found}
    if (
        len(versions) > 1
        or not versions <= set(VERSIONS)
        or any(set(match[1].split()) != elements for match in matches)
    ):
        return None
    if not versions:
        return None if UNCLEAR.search(text) else name
    version = versions.pop()
    is_generic = re.search(r"\b(?:generic|unported)\b", text)
    ports = {port for _, port in found if JURISDICTIONS.fullmatch(port)}
    ports |= {
        code for country, code in COUNTRIES.items() if re.search(rf"\b{version.replace('.', ' ')} {country}\b", text)
    }
    if version == "4.0" or is_generic or not ports:
        return f"{name}-{version}"
    return f"{name}-{version}-{ports.pop().upper()}" if len(ports) == 1 else None
