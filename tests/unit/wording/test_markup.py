"""Whatever is put into a page stays text."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from bertune.reports.page import facts, page, paragraph, section, table
from bertune.wording.markup import Html, element, join, text

HOSTILE = "<script>alert(1)</script> \"quotes\" 'too' </style></title> &amp; \u202eright to left \x00\x1b[31m"


class Tags(HTMLParser):
    """What a browser would see."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_what_is_no_markup_is_escaped_in_text_and_attributes() -> None:
    made = str(element("p", HOSTILE, title=HOSTILE))
    assert Tags(made).tags == ["p"]
    assert "<script" not in made
    assert dict(Tags(made).attributes)["title"].startswith("<script>alert(1)</script> \"quotes\" 'too'")


def test_markup_is_escaped_once_and_lost_by_formatting() -> None:
    inner = element("b", "a & b")
    assert text(inner) == inner == "<b>a &amp; b</b>"
    # An f-string makes plain text of it, which is shown, not obeyed.
    assert element("p", f"{inner}") == "<p>&lt;b&gt;a &amp;amp; b&lt;/b&gt;</p>"
    assert join([inner, "<"]) == "<b>a &amp; b</b>&lt;"


@given(st.text())
def test_any_text_gives_one_element_that_utf8_can_write(words: str) -> None:
    made = element("p", words, title=words)
    assert Tags(made).tags == ["p"]
    made.encode("utf-8")
    assert isinstance(made, Html)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cf", "Cn"])))
def test_ordinary_text_comes_out_as_it_went_in(words: str) -> None:
    assert "".join(Tags(element("p", words)).words) == words


def test_what_turns_or_steers_text_becomes_a_replacement_character() -> None:
    assert text("a\u202eb\x1bc\ud800d\te\nf") == "a\ufffdb\ufffdc\ufffdd\te\nf"


def test_a_page_of_hostile_parts_has_its_own_tags_only() -> None:
    def tags(words: str) -> list[str]:
        content = [facts({words: words}), table([words], [[words]]), paragraph(words)]
        return Tags(page(words, section("data", words, *content), header=[words])).tags

    assert tags(HOSTILE) == tags("harmless")
    assert "script" not in tags(HOSTILE)


def test_a_page_forbids_scripts_and_the_network_before_anything_else_is_read() -> None:
    document = page("t")
    policy = document.index("default-src 'none'".replace("'", "&#x27;"))
    assert policy < document.index("<title>") < document.index("<style>")
    assert "script-src" not in document
