r"""Masks what identifies people: e-mail addresses, telephone numbers and public IP addresses.

Books are full of numbers that look like telephone numbers and of ``@`` that are none of an address, so what
is not sure stays. Mathematics is never touched; code and tables are, for an address there is still somebody's.
Every search is linear: what is around a candidate is looked at for a bounded number of characters.
"""

import bisect
import ipaddress
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from pagemill.errors import UserError
from pagemill.text.mmd.blocks import math_spans

KINDS = ("email", "phone", "ip")

_MAX_PASSES = 5  # one masks, the next finds nothing; what was masked may part two that ran into each other


class MaskedSpan(NamedTuple):
    """Something that was masked: where it was in the original text, and what stands there instead."""

    start: int
    end: int
    kind: str
    replacement: str


class Masked(NamedTuple):
    """A text with what was masked in it, in order."""

    text: str
    spans: tuple[MaskedSpan, ...]


class _Found(NamedTuple):
    """A candidate, and a character of it that no mathematics may hold."""

    start: int
    end: int
    core: int


def mask(text: str, kinds: Collection[str]) -> Masked:
    r"""Mask what a text holds of some kinds of personal data. Masking again changes nothing.

    - `email`: addresses whose domain ends in a country's code or a common generic one, also ``{ann,bob}@x.edu``,
      ``ann\_lee@x.edu``, ``ann [at] x [dot] edu``, ``ann(at)x.edu`` and ``ANN AT X DOT EDU``.
    - `phone`: numbers with a plus sign that are valid in their country, ``(212) 555-0143`` where it is valid in
      North America, and numbers right after a word such as Tel., Fax: or Téléphone that are valid in some country.
      What is a date or a range of years is none. Digits other than 0 to 9 are not read.
    - `ip`: public addresses, as FineWeb masks them (Penedo et al. 2024): private ones and those of documentation
      identify nobody. Four numbers are an address if two of them are at least 64, which versions and numbered
      sections hardly have, if they have a port, or if what comes right before speaks of a network; not after a
      word such as version or section.

    Args:
        text: Nougat's Markdown, or anything else.
        kinds: Some of `KINDS`.

    Returns:
        The text with `[EMAIL]`, `[PHONE]` and `[IP]` in the place of what was found, and where that was.

    Raises:
        UserError: For a kind that is not known.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"kind of personal data {kind}", "is not known", f"give any of {', '.join(KINDS)}")
    masked = Masked(text, ())
    for _ in range(_MAX_PASSES):
        found = sorted((*each, kind) for kind in KINDS if kind in kinds for each in _FINDERS[kind](masked.text))
        again = _replace(masked.text, found) if found else masked
        if again.text == masked.text:
            break
        masked = Masked(again.text, tuple(_in_original(masked.spans, again.spans)))
    return masked


def _replace(text: str, found: list[tuple[int, int, int, str]]) -> Masked:
    mathematics = math_spans(text)
    pieces: list[str] = []
    spans: list[MaskedSpan] = []
    position = 0
    for start, end, core, kind in found:
        before = bisect.bisect_right(mathematics, core, key=lambda span: span.start) - 1
        if start < position or (before >= 0 and core < mathematics[before].end):
            continue
        # after a line break of LaTeX, brackets would be taken for its argument
        replacement = " " * text.endswith("\\", 0, start) + f"[{kind.upper()}]"
        spans.append(MaskedSpan(start, end, kind, replacement))
        pieces += text[position:start], replacement
        position = end
    return Masked("".join([*pieces, text[position:]]), tuple(spans))


def _in_original(first: tuple[MaskedSpan, ...], then: tuple[MaskedSpan, ...]) -> Iterator[MaskedSpan]:
    """Yield the spans of two passes in order, those of the second, in what the first left, brought to its places."""
    index = shift = 0
    for span in then:
        while index < len(first) and first[index].start <= span.start + shift:
            yield first[index]
            shift += first[index].end - first[index].start - len(first[index].replacement)
            index += 1
        yield span._replace(start=span.start + shift, end=span.end + shift)
    yield from first[index:]


# Patterns begin with a class of characters, which lets the engine skip what has none of them; what must not come
# before is looked for after that.
_OPEN, _CLOSE = r"[\[({<][ \t]?", r"[ \t]?[\])}>]"
_AT = re.compile(rf"[@＠\[({{<](?:(?<=[@＠])|[ \t]?(?:at|AT|@){_CLOSE})")  # noqa: RUF001  the wide sign of East Asia
_SHOUTED_AT = re.compile(r"AT(?<![^ ]AT)(?= [^ ]{1,63} DOT )")
_DOT_SPELT = rf"[ \t]?{_OPEN}(?:dot|DOT){_CLOSE}[ \t]?"
_LABEL = r"[A-Za-z0-9\u00c0-\u024f](?:[A-Za-z0-9\u00c0-\u024f-]{0,61}[A-Za-z0-9\u00c0-\u024f])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:(?:\.|{_DOT_SPELT}){_LABEL}){{1,8}}")
_SHOUTED_DOMAIN = re.compile(rf"{_LABEL}(?: DOT {_LABEL}){{1,8}}")
_DOT = re.compile(rf"\.|{_DOT_SPELT}| DOT ")
_LOCAL_CHARACTER = r"[A-Za-z0-9\u00c0-\u024f_.+%'-]"
# What is before the sign is matched from there backwards.
_LOCAL_BACKWARDS = re.compile(
    rf"(?:_\\|{_LOCAL_CHARACTER}|[ \t]?[\])}}>][ \t]?(?:tod|TOD)[ \t]?[\[({{<][ \t]?){{1,64}}(?!{_LOCAL_CHARACTER})"
)
_GROUP_BACKWARDS = re.compile(
    r"(?:\)\\\}\\\(\\|\}\\?)[\w.+ ,;|\\-]{1,200}(?:\)\\\{\\\(\\|\{\\?)(?:[A-Za-z]{2,12}\\)?(?!\\)"
)
_BACKWARDS_CHARACTERS = 250
# A country's code, or a common one of the generic ends.
_DOMAIN_END = re.compile(
    r"[a-z]{2}|com|org|net|edu|gov|mil|int|info|biz|name|pro|aero|asia|cat|coop|jobs|mobi|museum|tel|travel|academy|app"
    r"|art|bank|berlin|bio|blog|care|center|city|cloud|club|community|company|consulting|design|dev|digital|earth"
    r"|education|email|energy|engineering|expert|family|finance|foundation|global|group|hamburg|health|host|institute"
    r"|international|legal|life|live|london|love|ltd|media|network|news|ngo|one|online|page|paris|phd|press|school"
    r"|science|services|site|social|software|solutions|space|store|studio|support|systems|team|tech|technology|tips"
    r"|today|tokyo|tools|university|web|website|wiki|wien|work|works|world|xyz|zone",
    re.IGNORECASE,
)


def _emails(text: str) -> Iterator[_Found]:
    signs = [*_AT.finditer(text), *(_SHOUTED_AT.finditer(text) if " DOT " in text else ())]
    for sign in signs:
        shouted = sign[0] == "AT"
        spelt = len(sign[0]) > 1
        domain_start = sign.end() + (spelt and text[sign.end() : sign.end() + 1] in (" ", "\t"))
        domain = (_SHOUTED_DOMAIN if shouted else _DOMAIN).match(text, domain_start)
        end = _domain_end(domain) if domain else 0
        if not end or re.match(r"[\w@＠-]", text[end : end + 1]):  # noqa: RUF001
            continue
        local_end = sign.start() - (spelt and text[sign.start() - 1 : sign.start()] in (" ", "\t"))
        start = _local_start(text, local_end)
        if start < local_end:
            yield _Found(start, end, sign.start())


def _domain_end(domain: re.Match[str]) -> int:
    """Return where the longest domain ends that ends as domains do; 0 if there is none."""
    ends = [dot.start() for dot in _DOT.finditer(domain[0])] + [len(domain[0])]
    labels = _DOT.split(domain[0])
    for label, end in reversed(list(zip(labels, ends, strict=True))[1:]):
        if _DOMAIN_END.fullmatch(label):
            return domain.start() + end
    return 0


def _local_start(text: str, end: int) -> int:
    """Return where the part of an address begins that comes before the sign; its end if there is none."""
    backwards = text[max(0, end - _BACKWARDS_CHARACTERS) : end][::-1]
    local = _GROUP_BACKWARDS.match(backwards) or _LOCAL_BACKWARDS.match(backwards)
    length = len(local[0].rstrip("-.+%' \t")) if local and backwards[0] not in ".'" else 0
    before = backwards[length:]
    commanded = (len(before) - len(before.lstrip("\\"))) % 2 == 1
    return end if before[:1] in ("@", "＠") or commanded else end - length  # noqa: RUF001


# A number of 7 to 17 digits; between two of them a space, a sign, or both.
_NUMBER = re.compile(
    r"[0-9(+](?<![\w+.,\]-][0-9(+])(?:(?<=\()\+?[0-9]|(?<=\+)[0-9]|(?<=[0-9]))"
    r"(?:(?>[ \t\u00a0]?(?:\)[./-]|\.|[()/\u2010-\u2013-]?[ \t\u00a0]?))[0-9]){6,16}(?![0-9A-Za-z])"
)
_NORTH_AMERICAN = re.compile(r"\((?<![\w(\]]\()[2-9][0-9]{2}\) ?[2-9][0-9]{2}[.\u2010-\u2013-][0-9]{4}(?![\w-])")
_EXTENSION = re.compile(r"[ ,]{1,2}(?:ext\.?|extension|x|Durchwahl|App\.) ?[0-9]{1,5}(?!\w)")
# Dates, ranges of years and decimals, which may stand where a telephone number could.
_YEAR = r"(?:1[4-9]|20)[0-9]{2}"
_DAY = r"[0-9]{1,2}[./-][0-9]{1,2}"
_OTHER_NUMBER = re.compile(
    rf"{_YEAR}[ /\u2010-\u2013-]+{_YEAR}\b|{_YEAR}[./-]{_DAY}\b|{_DAY}[./-]{_YEAR}|[0-9]\.[0-9]+(?:[^.0-9]|$)"
)
_WORD = (
    r"(?:tele)?(?:phone|fax)|t[eé]l[eé]phone|tel[eé]fon[oe]?|telefoon|puhelin|mobile?|m[oó]vil|handy|cell(?:phone)?"
    r"|celular|portable|телефон|факс|τηλέφωνο|hotline|whatsapp"
)
_SHORT = r"t[eé]l|tlf|тел|τηλ|fax|ph|mob"
_ORDINAL = r"no|nr|num(?:ber|mer|éro|ero)|número"
_EASTERN = r"电话|電話|传真|傳真|手机|手機|전화|팩스|هاتف|טלפון"
_COLON = r"[ \t*_]{0,4}[:：&|]"  # noqa: RUF001  in a table, a label may have a cell of its own
# Before a number: a label, then by preference what makes sure of it.
_TELEPHONE = re.compile(
    rf"(?:(?<![^\W\d_])(?:(?:{_SHORT})\.?|{_WORD})(?P<sure>(?<=\.)|[ \t](?:{_ORDINAL})\b\.?)?(?P<colon>{_COLON})?"
    rf"|(?P<eastern>{_EASTERN})(?:{_COLON})?)[ \t\u00a0*_]{{0,4}}\Z",
    re.IGNORECASE,
)
_AFTER_LABEL = " \t\u00a0.:：|&*_"  # noqa: RUF001
_LABEL_CHARACTERS = 32
_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "JP", "CN", "BR", "RU", "IN", "DK", "NL", "BE", "SE", "PL", "KR")


def _phones(text: str) -> Iterator[_Found]:
    for number in _NUMBER.finditer(text):
        international = number[0].lstrip("(").startswith("+")
        regions = _REGIONS if not international and _labelled(text, number) else ()
        if (international and not _one_dot(number[0])) or regions:
            valid = number[0][: _valid_characters(number[0], regions)]
            if valid:
                start = number.start() + (valid[0] == "(" and ")" not in valid)
                yield _Found(start, _with_extension(text, number.start() + len(valid)), start)
    for number in _NORTH_AMERICAN.finditer(text):
        if _is_valid(number[0], "US"):
            yield _Found(number.start(), _with_extension(text, number.end()), number.start())


def _one_dot(number: str) -> bool:
    """Say whether a number is written as decimals are."""
    return number.count(".") == 1


def _labelled(text: str, number: re.Match[str]) -> bool:
    """Say whether a word before a number says that it is of a telephone."""
    before = text[max(0, number.start() - _LABEL_CHARACTERS) : number.start()]
    label = _TELEPHONE.search(before) if before.rstrip(_AFTER_LABEL)[-1:].isalpha() else None
    if label is None or _OTHER_NUMBER.match(number[0].lstrip("(")):
        return False
    return any(part is not None for part in label.groups()) or number[0][0] in "(0"


def _valid_characters(number: str, regions: tuple[str, ...]) -> int:
    """Return how much of a number is valid: without the groups at its end that belong to what follows."""
    ends = [match.start() for match in re.finditer(r"[ \t\u00a0]", number)]
    for end in (len(number), *ends[:-3:-1]):
        if sum(map(str.isdigit, number[:end])) >= 6 and any(
            _is_valid(number[:end], region) for region in regions or ("",)
        ):
            return end
    return 0


def _is_valid(number: str, region: str) -> bool:
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region or None))
    except phonenumbers.NumberParseException:
        return False


def _with_extension(text: str, end: int) -> int:
    extension = _EXTENSION.match(text, end)
    return extension.end() if extension else end


_IPV4 = re.compile(r"[0-9](?<![\w.\\\]][0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])")
_IPV6 = re.compile(r"[23](?<![\w:.\]][23])[0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
_LARGE = 64
_NETWORK = re.compile(
    r"\b(?:IP(?:v4)?|address(?:es)?|host(?:s|names?)?|servers?|pings?|DNS|resolvers?|nameservers?|routers?|gateways?|subnets?"
    r"|netmask|inet|traceroute|firewall|proxy|Adressen?|adresses?|dirección|indirizzo|endereço)\b|https?://"
)
_NETWORK_CHARACTERS = 48
_LIST_CHARACTERS = 12
_PORT = re.compile(r":[0-9]{2,5}\b")
_BETWEEN_ADDRESSES = re.compile(r"[,;/& \t-]{1,3}(?:(?:and|or|und|oder|et|ou|y|e)[ \t])?")
_NUMBERED = re.compile(
    r"(?:\b(?:version|versions|v|ver|release|kernel|linux|section|sections|sec|chapter|clause|paragraph|figure|fig|table|tab"
    r"|equation|eq|theorem|lemma|definition|example|exercise|proposition|corollary|remark|EC|OID|ObjectIdentifier|Abschnitt|Kapitel)\b"
    r"[.:]?|§|^[ \t]*\#{1,6})[ \t\u00a0(\"'-]{0,3}\Z",
    re.IGNORECASE | re.MULTILINE,
)


def _ips(text: str) -> Iterator[_Found]:
    end_of_last = -1
    for address in _IPV4.finditer(text):
        start, end = address.span()
        before = text[max(0, start - _NETWORK_CHARACTERS) : start]
        if _NUMBERED.search(before) or not _is_public(address[0]):
            continue
        large = sum(int(number) >= _LARGE for number in address[0].split("."))
        listed = 0 < start - end_of_last < _LIST_CHARACTERS and _BETWEEN_ADDRESSES.fullmatch(text, end_of_last, start)
        if large >= 2 or listed or _speaks_of_network(before) or _PORT.match(text, end):
            end_of_last = end
            yield _Found(start, end, start)
    for address in _IPV6.finditer(text):
        if _is_public(address[0]):
            yield _Found(address.start(), address.end(), address.start())


def _speaks_of_network(before: str) -> bool:
    """Say whether what comes before an address, since the last that was masked, speaks of a network."""
    masked, _, since = before.rpartition("]")
    listed = masked.endswith("[IP") and _BETWEEN_ADDRESSES.fullmatch(since) is not None
    return listed or _NETWORK.search(since) is not None


def _is_public(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


_FINDERS = {"email": _emails, "phone": _phones, "ip": _ips}
