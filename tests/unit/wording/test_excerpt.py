"""The beginning of a text that is too long."""

from bertune.wording.excerpt import excerpt


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    assert excerpt("x" * 1_000_000, 600) == "x" * 600 + " … (1,000,000 characters)"
    assert excerpt("short", 5) == "short"
