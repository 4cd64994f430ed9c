r"""What identifies people is masked; what only looks like it stays, and mathematics always does."""

# ruff: noqa: RUF001  the letters of other scripts are meant

import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.errors import UserError
from pagemill.text.judging import masking
from pagemill.text.judging.masking import KINDS, MaskedSpan, mask


def masked(text: str) -> str:
    return mask(text, KINDS).text


def test_what_was_masked_is_told_with_its_place_in_the_original():
    text = "Ann <ann@example.org>, Tel. 030 1234567, from 93.184.216.34."
    result = mask(text, KINDS)
    assert result.text == "Ann <[EMAIL]>, Tel. [PHONE], from [IP]."
    assert [(text[span.start : span.end], span.kind, span.replacement) for span in result.spans] == [
        ("ann@example.org", "email", "[EMAIL]"),
        ("030 1234567", "phone", "[PHONE]"),
        ("93.184.216.34", "ip", "[IP]"),
    ]


def test_only_the_kinds_that_are_asked_for_are_masked():
    text = "ann@example.org, +49 30 1234567, 93.184.216.34"
    assert mask(text, ["email"]).text == "[EMAIL], +49 30 1234567, 93.184.216.34"
    assert mask(text, {"phone", "ip"}).text == "ann@example.org, [PHONE], [IP]"
    assert mask(text, ()) == (text, ())


def test_a_kind_that_is_not_known_is_the_users_mistake():
    with pytest.raises(UserError, match="kind of personal data name: is not known; give any of email, phone, ip"):
        mask("", ["email", "name"])


EMAILS = [
    "john.smith@example.com",
    "j+tag%x_y-z@mail.dept.example.ac.uk",
    "JOHN@EXAMPLE.COM",
    "o'brien@example.ie",
    "müller@köln-bücher.de",
    r"ann\_lee@example.edu",
    "{ann, bob}@cs.example.edu",
    r"\{ann,bob\}@cs.example.edu",
    r"\(\{\)ann,bob\(\}\)@cs.example.edu",
    r"\texttt{ann}@example.edu",
    "ann [at] example [dot] edu",
    "ann(at)example.edu",
    "ann {at} cs {dot} example {dot} edu",
    "ann [dot] lee [at] example [dot] edu",
    "ANN AT EXAMPLE DOT EDU",
    "ann＠example.co.jp",
    "1234567@qq.com",
]


@pytest.mark.parametrize("email", EMAILS)
@pytest.mark.parametrize(
    "context", ["{}", "write to {}.", "<{}>", "({}), she", "邮箱{}。", "* {}\n", "mailto:{}?subject=x"]
)
def test_an_email_address_is_masked_wherever_it_stands(email, context):
    if "邮" in context and " AT " in email:
        return
    assert masked(context.format(email)) == context.format("[EMAIL]")


NO_EMAILS = [
    r"\(a@b.com\)",
    r"\[x@y.de = z\]",
    r"\begin{tabular}{@{}l@{\,}r@{}}1 & 2\end{tabular}",
    r"\@startsection",
    r"john\@example.com",
    r"\john@example.com",
    "@mary on social networks",
    "@user@example.social",
    "icon@2x.png",
    "left-pad@1.3.0",
    "npm install @scope/package.name",
    "y = X@W.T + A@B.transpose",
    "@dataclass.field",
    "root@localhost",
    "5 apples @ 2.50 each",
    "meet at example dot com",
    "(at) noon",
    "look at [example].com",
    "CHAT ROOM DOT MATRIX",
    "[@smith2004, p. 3]",
    "a@b.com@c.com",
    "@.com",
    "x@-.com",
]


@pytest.mark.parametrize("text", NO_EMAILS)
def test_a_sign_that_is_of_no_address_stays(text):
    assert mask(text, KINDS) == (text, ())


def test_an_address_that_runs_into_the_next_sentence_ends_where_domains_do():
    assert masked("Ask ann@example.com.Please") == "Ask [EMAIL].Please"


def test_a_row_of_a_table_does_not_take_a_masked_address_for_its_spacing():
    assert masked(r"Ann \\bob@example.com \\") == r"Ann \\ [EMAIL] \\"


def test_an_address_in_code_is_still_somebodys():
    assert masked("```\nauthor = 'ann@example.com'\n```") == "```\nauthor = '[EMAIL]'\n```"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+49 (0)30 123 45 67", "[PHONE]"),
        ("(+44) 20 7946 0958", "[PHONE]"),
        ("(+49 30 1234567)", "([PHONE])"),
        ("Tel. (030 1234567)", "Tel. ([PHONE])"),
        ("+33.1.42.68.53.00", "[PHONE]"),
        ("+1-212-555-0143 ext. 12", "[PHONE]"),
        ("+12125550143", "[PHONE]"),
        ("call (212) 555-0143.", "call [PHONE]."),
        ("in 2004 (212) 555-0143", "in 2004 [PHONE]"),
        ("Tel. 030 1234567", "Tel. [PHONE]"),
        ("Tel./Fax: (06221) 54-2345", "Tel./Fax: [PHONE]"),
        ("**Phone:** 415-823-4567", "**Phone:** [PHONE]"),
        ("Phone & 0171 234 5678 \\\\", "Phone & [PHONE] \\\\"),
        ("telephone number 020 7946 0958", "telephone number [PHONE]"),
        ("Tél. : 01 42 68 53 00", "Tél. : [PHONE]"),
        ("Teléfono: 912 345 678", "Teléfono: [PHONE]"),
        ("Handy 0171 2345678", "Handy [PHONE]"),
        ("电话：010-62751234", "电话：[PHONE]"),
        ("TEL 03-3581-0101", "TEL [PHONE]"),
        ("тел. 8 (495) 123-45-67", "тел. [PHONE]"),
        ("Tel. 030 1234567. 12 people came.", "Tel. [PHONE]. 12 people came."),
        ("Phone +44 20 7946 0958 1984", "Phone [PHONE] 1984"),
        ("Tel. 030 1234567, Fax 030 1234568", "Tel. [PHONE], Fax [PHONE]"),
    ],
)
def test_a_telephone_number_is_masked(text, expected):
    assert masked(text) == expected


NO_PHONES = [
    "ISBN 978-3-16-148410-0",
    "ISBN 0 19 853453 1",
    "doi:10.1007/978-3-540-76928-6_12",
    "arXiv:1706.03762v7",
    "Phys. Rev. Lett. 77 (1996) 3865-3868",
    "pp. 1234-1250 (1999)",
    "the telephone, 1876-1976",
    "Telephone: 1876 – 1976",
    "Tel: 2019-05-12",
    "Fax. 12.05.1998",
    "mobile 1999 2004 2010",
    "cell 12 34 56 78",
    "Phone: 0.1234567",
    "hotel 030 1234567",
    "tel 12",
    "12 345 678 901",
    "(212) 1999-2004",
    "+1.5 +2.25 +3.125",
    "+12345678.901",
    "+37 25 19.64",
    "Na+ 1234567",
    "C++ 2011 2014",
    "2004-05-01T12:00:00+02:00",
    "020 7946 0958",
    r"\(+49 30 1234567\)",
    r"\[Tel. 030 1234567\]",
    "+٤٩٣٠١٢٣٤٥٦٧",
]


@pytest.mark.parametrize("text", NO_PHONES)
def test_a_number_that_nothing_says_to_be_of_a_telephone_stays(text):
    assert mask(text, KINDS) == (text, ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("93.184.216.34", "[IP]"),
        ("http://93.184.216.34:8080/", "http://[IP]:8080/"),
        ("from 93.184.216.34 to 151.101.65.69.", "from [IP] to [IP]."),
        ("The DNS server is 8.8.8.8.", "The DNS server is [IP]."),
        ("```\nping 1.1.1.1\n```", "```\nping [IP]\n```"),
        ("2606:4700:4700::1111", "[IP]"),
        ("[2001:4860:4860:0:0:0:0:8888]:80", "[[IP]]:80"),
    ],
)
def test_a_public_ip_address_is_masked(text, expected):
    assert masked(text) == expected


NO_IPS = [
    "8.8.8.8",
    "see 1.2.3.4",
    "### 4.100.2.101 Results",
    "Section 4.100.2.101",
    "Theorem 1.2.3.4",
    "version 91.0.72.124",
    "a server of version 1.2.3.4",
    "EC 3.4.21.64 and EC 3.4.21.4",
    "1.3.6.1.4.1.311",
    "ObjectIdentifier('1.3.101.110')",
    "https://example.org/rfc7231#section-3.1.2.2",
    "1.2.0.0/16",
    "91.0.4472.124",
    "300.200.100.200",
    "093.184.216.34",
    "v93.184.216.34",
    "the host 192.168.178.20, 10.0.200.100, 172.16.254.1, 127.0.0.1",
    "the address 203.0.113.195",
    "multicast to the address 224.0.0.251",
    "2001:db8::1 fe80::1 ::1",
    "12:30:45",
    "2004:05:12 10:11:12",
    "00:1a:2b:3c:4d:5e:6f:70",
    "std::vector, dead::beef, 2024::sum",
    "John 3:16:18",
    r"\(93.184.216.34\)",
]


@pytest.mark.parametrize("text", NO_IPS)
def test_a_number_with_dots_or_colons_that_is_no_public_address_stays(text):
    assert mask(text, KINDS) == (text, ())


class Page(NamedTuple):
    """A made text, and where in it is what should be masked."""

    text: str
    truth: list[tuple[int, int, str]]


PROSE = re.findall(
    r"\S+",
    "The results of the survey were published in the following year and met with little interest."
    " A second edition, prepared by the author himself, corrects the errors of the first."
    " We thank all who read drafts of this chapter; what remains wrong in it is ours.",
)
NAMES = ["anna", "j.smith", "maria_garcia", "o.muller-lange", "kim.lee", "p2", "Bob.Jones", "x.y.z", "info", "sales42"]
HOSTS = [
    "uni-heidelberg.de",
    "mit.edu",
    "cs.ox.ac.uk",
    "gmail.com",
    "example.co.jp",
    "inria.fr",
    "press.museum",
    "who.int",
]
EMAIL_FORMS = [
    "{n}@{h}",
    "{n}@{h}",
    "{n}@{h}",
    "<{n}@{h}>",
    "mailto:{n}@{h}",
    "{n} [at] {d}",
    "{n}(at){h}",
    "{{{n}, jo}}@{h}",
]
INTERNATIONAL_FORMS = ["{}", "Tel. {}", "(phone {})", "Fax: {}", "call {} today"]
NATIONAL_FORMS = [
    "Tel. {}",
    "Tel.: {}",
    "Phone: {}",
    "Fax: {}",
    "Telefon: {}",
    "Tél. : {}",
    "Mobile: {}",
    "telephone no. {}",
]
IP_FORMS = ["{}", "http://{}/index.html", "the server {}", "{}:443", "from {}, port 22,", "ping {}"]
PHONE_FORMATS = (
    phonenumbers.PhoneNumberFormat.INTERNATIONAL,
    phonenumbers.PhoneNumberFormat.E164,
    phonenumbers.PhoneNumberFormat.NATIONAL,
)


def true_phrases(source: random.Random) -> Iterator[tuple[str, str, str]]:
    """Yield phrases with the kind of what they hold, and that itself."""
    for name in NAMES:
        for host in HOSTS:
            form = source.choice(EMAIL_FORMS)
            whole = form.format(n=name, h=host, d=host.replace(".", " [dot] "))
            yield whole, "email", whole.strip("<>").removeprefix("mailto:")
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        number = phonenumbers.example_number_for_type(region, source.choice([0, 1]))
        for number_format in PHONE_FORMATS if number else ():
            national = number_format == phonenumbers.PhoneNumberFormat.NATIONAL
            written = phonenumbers.format_number(number, number_format)
            yield source.choice(NATIONAL_FORMS if national else INTERNATIONAL_FORMS).format(written), "phone", written
    for _ in range(200):
        address = ".".join(str(source.randint(1, 254)) for _ in range(4))
        if masking._is_public(address):
            yield source.choice(IP_FORMS).format(address), "ip", address


def decoy(source: random.Random) -> str:
    """Return something from a book that looks a little like personal data."""

    def digits(count: int) -> str:
        return "".join(source.choices("0123456789", k=count))

    def small() -> int:
        return source.randint(1, 40)

    year, other = source.randint(1500, 2029), source.randint(1500, 2029)
    return source.choice(
        [
            lambda: f"ISBN 978-{digits(1)}-{digits(4)}-{digits(4)}-{digits(1)}",
            lambda: f"ISBN {digits(1)} {digits(3)} {digits(5)} {digits(1)}",
            lambda: f"ISSN {digits(4)}-{digits(4)}",
            lambda: f"({year}) {digits(3)}-{digits(4)}",
            lambda: f"J. Math. {small()} ({year}) {digits(3)}-{digits(3)}",
            lambda: f"{year}-{other}",
            lambda: f"the telephone ({year}-{other})",
            lambda: f"in {year} {other} {digits(4)}",
            lambda: f"{year}-{small():02}-{small():02} {small()}:{small()}:{small()}",
            lambda: f"arXiv:{digits(4)}.{digits(5)}v{digits(1)}",
            lambda: f"doi:10.{digits(4)}/s{digits(5)}-{digits(3)}-{digits(4)}-{digits(1)}",
            lambda: f"{digits(3)} {digits(3)} {digits(3)} {digits(3)}",
            lambda: f"{digits(3)}-{digits(3)}-{digits(4)}",
            lambda: f"{small()} & {digits(3)} & {digits(4)} & +{digits(2)}.{digits(3)} \\\\",
            lambda: f"+{digits(2)} {digits(2)} {digits(2)}.{digits(3)}",
            lambda: f"from +{digits(3)} to +{digits(4)}",
            lambda: f"{small()}.{small()}.{small()}.{small()}",
            lambda: f"Section {small()}.{small()}.{small()}.{digits(3)}",
            lambda: f"version {small()}.{small()}.{digits(4)}.{digits(3)}",
            lambda: f"kernel 2.6.{small()}.{small()}",
            lambda: f"EC {small()}.{small()}.{small()}.{digits(2)}",
            lambda: f"10.{digits(2)}.{digits(2)}.{digits(2)}",
            lambda: f"192.168.{small()}.{small()}",
            lambda: f"{small()}:{small()}:{small()}",
            lambda: f"\\(x_{{{small()}}}+{digits(10)}\\)",
            lambda: f"\\[a@b.com+{digits(11)}=+49{digits(9)}\\]",
            lambda: f"\\begin{{tabular}}{{@{{}}l{digits(1)}@{{}}}}\\end{{tabular}}",
            lambda: f"@user{digits(3)}",
            lambda: f"package@{small()}.{small()}.{small()}",
            lambda: f"Y = X@W.T + b{digits(1)}",
            lambda: f"icon@{small()}x.png",
            lambda: f"{small()} apples @ {small()}.50",
            lambda: f"$ {digits(3)},{digits(3)},{digits(3)}.{digits(2)}",
            lambda: "std::vector<int>::size_type",
            lambda: ":".join(digits(2) for _ in range(6)),
        ]
    )()


def pages(source: random.Random) -> Iterator[Page]:
    """Yield pages of prose with one true thing and eight decoys each."""
    for phrase, kind, true in true_phrases(source):
        phrases = [(decoy(source), "", "") for _ in range(8)]
        phrases.insert(source.randrange(9), (phrase, kind, true))
        text, truth = "", []
        for each, each_kind, inner in phrases:
            text += " ".join(source.choices(PROSE, k=source.randint(3, 12))) + " "
            if inner:
                start = len(text) + each.index(inner)
                truth.append((start, start + len(inner), each_kind))
            text += each + source.choice([", ", " ", ". ", "\n\n"])
        yield Page(text, truth)


def test_in_books_full_of_numbers_nearly_all_that_is_masked_is_personal_and_nearly_all_personal_data_is_masked():
    true, found, right = Counter(), Counter(), Counter()
    for page in pages(random.Random(7)):
        spans = {(span.start, span.end, span.kind) for span in mask(page.text, KINDS).spans}
        true.update(kind for _, _, kind in page.truth)
        found.update(kind for _, _, kind in spans)
        right.update(kind for _, _, kind in spans.intersection(page.truth))
    assert all(true[kind] >= count for kind, count in (("email", 80), ("phone", 700), ("ip", 150)))
    precision = {kind: right[kind] / found[kind] for kind in KINDS}
    recall = {kind: right[kind] / true[kind] for kind in KINDS}
    assert all(share >= 0.99 for share in precision.values()), precision
    assert recall["email"] == 1
    assert recall["phone"] >= 0.9, recall
    assert recall["ip"] >= 0.9, recall


PIECES = [
    *(
        "ann@example.com",
        "+49 30 1234567",
        "(212) 555-0143",
        "93.184.216.34",
        "8.8.8.8",
        "2606:4700:4700::1111",
        "Tel. ",
    ),
    *(
        "host ",
        ", ",
        " ",
        "-",
        ".",
        "_",
        "@",
        "a",
        "7",
        "[",
        "]",
        "(",
        "/",
        ":",
        "\\",
        "\\\\",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
    ),
    *(
        "{",
        "}",
        " [at] ",
        " [dot] ",
        " AT ",
        " DOT ",
        "com",
        "\n\n",
        "```\n",
        "and ",
        "[IP]",
        "[EMAIL]",
        "version ",
        "٣",
        "@@",
    ),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


@given(TEXTS, st.sets(st.sampled_from(KINDS)))
@settings(max_examples=300)
def test_masking_again_changes_nothing_and_counts_nothing(text, kinds):
    once = mask(text, kinds)
    assert mask(once.text, kinds) == (once.text, ())


@given(TEXTS | st.text(st.characters(exclude_categories=()), max_size=200))
@settings(max_examples=300)
def test_the_spans_say_how_the_text_was_made_of_the_original(text):
    result = mask(text, KINDS)
    rebuilt, position = "", 0
    for start, end, _, replacement in result.spans:
        assert position <= start < end
        rebuilt += text[position:start] + replacement
        position = end
    assert rebuilt + text[position:] == result.text


@given(TEXTS)
@settings(max_examples=200)
def test_mathematics_stays_as_it_is(text):
    formula = f"\\({text.replace(chr(92), '').replace(chr(10), '')}\\)"
    assert formula in masked(f"Let {formula} be.") or "```" in formula


HOSTILE = [
    "a." * 100_000 + "@",
    "a@" * 100_000,
    "@" * 200_000,
    "a@b." * 50_000,
    "{" * 100_000 + "}@x.com",
    "[at]" * 50_000,
    "[dot]" * 40_000 + "@x.com",
    "a [dot] " * 25_000 + "[at] b.com",
    "AT A DOT " * 20_000,
    "1-" * 100_000,
    "1" * 200_000,
    "1 " * 100_000,
    "1 ( " * 50_000,
    "+1" * 100_000,
    "(" * 200_000,
    "1.2.3.4." * 25_000,
    "1.2.3.4" * 25_000,
    "2000:" * 40_000,
    "2000::" * 40_000,
    "\\(" * 100_000 + "8.8.8.8@",
    "\\" * 200_000 + "a@b.com",
    "x" * 200_000,
    "\ud800\x00" * 50_000 + "a@b.com",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:8]))
def test_a_hostile_text_is_masked_like_any_other(text):
    result = mask(text, KINDS)
    assert mask(result.text, KINDS).text == result.text


@pytest.mark.parametrize("unit", ["+1 2 3 4 5 6 7 8 9 0 ", "Tel. 000 000 00 00, ", "(212) 555-0143 ", "Tel. +1 "])
def test_what_is_asked_of_the_library_grows_with_the_length_of_the_text(unit, monkeypatch):
    asked = []
    monkeypatch.setattr(masking, "_is_valid", lambda number, region: asked.append(number) or False)
    counts = []
    for repeats in (50, 100, 200):
        asked.clear()
        mask(unit * repeats, ["phone"])
        counts.append(len(asked))
    assert counts[2] - counts[1] <= 2 * (counts[1] - counts[0]) + 1
    assert all(len(number) <= 60 for number in asked)


def test_a_long_line_of_addresses_is_masked_to_its_end():
    assert masked("hosts " + "8.8.8.8, " * 2000) == "hosts " + "[IP], " * 2000


def test_kinds_and_spans_are_what_the_profile_counts_by():
    spans = mask("ann@example.com bob@example.com 93.184.216.34", KINDS).spans
    assert Counter(span.kind for span in spans) == {"email": 2, "ip": 1}
    assert spans[0] == MaskedSpan(0, 15, "email", "[EMAIL]")
