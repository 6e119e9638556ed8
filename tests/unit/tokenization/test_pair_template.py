"""Templates: read from their text form, and against loops over single tokens for any pieces and lengths."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertune.errors import ConfigError
from bertune.tokenization.long_texts import checked_stride
from bertune.tokenization.pair_template import BERT, NO_TEXT, PairTemplate, Stretch
from bertune.tokenization.truncation import check_max_length

ROBERTA = PairTemplate("<s> {a} </s>", "<s> {a} </s></s> {b} </s>")
BRACKETED = ["<s>", "</s>", "[CLS]", "[SEP]", "<|end|>"]
PIECES = [*BRACKETED, "sep", "eos"]
IDS = {piece: 1000 + number for number, piece in enumerate(PIECES)}
GAP = st.lists(st.sampled_from(PIECES), max_size=3)


@dataclass(frozen=True)
class Drawn:
    """A template, and the gaps it was written from."""

    template: PairTemplate
    single: list[list[str]]
    pair: list[list[str]]


@st.composite
def templates(draw: st.DrawFn) -> Drawn:
    """Templates of any pieces; those in brackets may stand side by side."""
    single, pair = (draw(st.lists(GAP, min_size=texts + 1, max_size=texts + 1)) for texts in (1, 2))

    def written(gaps: list[list[str]]) -> str:
        parts: list[str] = []
        for number, gap in enumerate(gaps):
            parts += [f" {{{'ab'[number - 1]}}} "] if number else []
            for place, piece in enumerate(gap):
                is_joined = place and piece in BRACKETED and gap[place - 1] in BRACKETED and draw(st.booleans())
                parts.append(piece if is_joined else f" {piece}")
        return "".join(parts)

    return Drawn(PairTemplate(written(single), written(pair), draw(st.booleans())), single, pair)


@st.composite
def sequences(draw: st.DrawFn) -> tuple[np.ndarray, list[list[Stretch]]]:
    """Flat ids, and for one or two texts of several sequences one or two stretches of them each."""
    ids = np.arange(draw(st.integers(1, 30)), dtype=np.int32)
    texts, count, parts = draw(st.integers(1, 2)), draw(st.integers(0, 4)), draw(st.integers(1, 2))
    stretch = st.integers(0, len(ids)).flatmap(
        lambda start: st.tuples(st.just(start), st.integers(0, len(ids) - start))
    )
    drawn = [[draw(st.lists(stretch, min_size=count, max_size=count)) for _ in range(parts)] for _ in range(texts)]
    columns = [[np.array(each, np.int64).reshape(count, 2).T for each in text] for text in drawn]
    return ids, [[(start, length) for start, length in text] for text in columns]


def one_by_one(drawn: Drawn, ids: np.ndarray, texts: list[list[Stretch]]) -> list[list[tuple[int, int, int]]]:
    """Each token of each sequence: its id, which text it is of, its type."""
    gaps, made = drawn.pair if len(texts) == 2 else drawn.single, []
    for sequence in range(len(texts[0][0][0])):
        tokens, type_id = [], 0
        for number, gap in enumerate(gaps):
            tokens += [(IDS[piece], NO_TEXT, type_id) for piece in gap]
            if number == len(texts):
                break
            type_id = int(number == 1 and drawn.template.has_segments)
            for starts, lengths in texts[number]:
                for place in range(starts[sequence], starts[sequence] + lengths[sequence]):
                    tokens.append((int(ids[place]), number, type_id))
        made.append(tokens)
    return made


@given(templates(), sequences())
def test_any_template_lays_out_any_sequences_as_a_loop_over_tokens_does(
    drawn: Drawn, given_texts: tuple[np.ndarray, list[list[Stretch]]]
) -> None:
    ids, texts = given_texts
    template, expected = drawn.template, one_by_one(drawn, *given_texts)
    special_ids = {piece: IDS[piece] for piece in template.pieces}
    flat, offsets = template.lay_out(ids, texts, special_ids, np.uint16)
    assert flat.dtype == np.uint16
    assert flat.tolist() == [token[0] for sequence in expected for token in sequence]
    assert offsets.tolist() == np.cumsum([0, *map(len, expected)]).tolist()
    kept = np.array([sum(lengths for _, lengths in text) for text in texts], np.int64)
    assert template.text_of_token(kept).tolist() == [token[1] for sequence in expected for token in sequence]
    first_lengths = template.first_lengths(kept)
    assert first_lengths.dtype == np.int32
    assert first_lengths.tolist() == [[token[2] for token in sequence].count(0) for sequence in expected]


@given(templates(), st.booleans(), st.integers(0, 9))
def test_counts_are_those_of_the_pieces_that_were_written(drawn: Drawn, pairs: bool, tokens: int) -> None:
    template, gaps = drawn.template, drawn.pair if pairs else drawn.single
    assert template.gaps(pairs=pairs) == tuple(map(tuple, gaps))
    special = len([piece for gap in gaps for piece in gap])
    assert template.special_count(pairs=pairs) == special
    assert template.shortest(pairs=pairs, tokens=tokens) == special + tokens + (tokens if pairs else 0)
    assert template.room(template.shortest(pairs=pairs), pairs=pairs) == (2 if pairs else 1)
    assert sorted(template.pieces) == sorted({piece for gap in [*drawn.single, *drawn.pair] for piece in gap})


@given(templates(), st.booleans())
def test_the_shortest_length_is_taken_and_the_one_below_is_refused(drawn: Drawn, pairs: bool) -> None:
    shortest = drawn.template.shortest(pairs=pairs)
    check_max_length(shortest, template=drawn.template, pairs=pairs)
    with pytest.raises(ConfigError, match=f"max_length is {shortest - 1}, at least {shortest} is needed"):
        check_max_length(shortest - 1, template=drawn.template, pairs=pairs)
    windows = drawn.template.shortest(pairs=pairs, tokens=2)
    assert checked_stride("windows", None, template=drawn.template, max_length=windows, pairs=pairs) == 1
    with pytest.raises(ConfigError, match="is too small for windows") as refused:
        checked_stride("windows", None, template=drawn.template, max_length=windows - 1, pairs=pairs)
    assert refused.value.hint == f"use --max-length {windows} or more"


def test_berts_template_is_the_originals() -> None:
    assert BERT.gaps(pairs=False) == (("[CLS]",), ("[SEP]",))
    assert BERT.gaps(pairs=True) == (("[CLS]",), ("[SEP]",), ("[SEP]",))
    assert (BERT.shortest(pairs=False), BERT.shortest(pairs=True), BERT.has_segments) == (3, 5, True)


def test_pieces_in_brackets_need_no_space_between_them() -> None:
    assert ROBERTA.gaps(pairs=True) == (("<s>",), ("</s>", "</s>"), ("</s>",))
    assert PairTemplate("{a} eos", "{a}  eos\t{b} [X]eos").gaps(pairs=True) == ((), ("eos",), ("[X]", "eos"))


def test_the_hint_names_the_special_pieces_of_the_template() -> None:
    with pytest.raises(ConfigError, match="max_length is 5, at least 6 is needed for pairs") as refused:
        check_max_length(5, template=ROBERTA, pairs=True)
    assert refused.value.hint == "max_length counts <s> and </s> too"
    with pytest.raises(ConfigError, match="at least 1 is needed") as refused:
        check_max_length(0, template=PairTemplate("{a}", "{a} {b}"), pairs=False)
    assert refused.value.hint is None


@pytest.mark.parametrize(
    ("single", "pair", "message"),
    [
        ("<s> </s>", "<s> {a} {b}", "there is no place {a}"),
        ("<s> {a} </s>", "<s> {a} </s>", "there is no place {b}"),
        ("<s> {a} </s> {b}", "{a} {b}", "'{b}' is no special piece, nor the place of the next text"),
        ("{a}", "<s> {b} </s> {a}", "'{b}' is no special piece"),
        ("{a} {a}", "{a} {b}", "'{a}' is no special piece"),
        ("<s>{a}</s>", "{a} {b}", "'<s>{a}</s>' is no special piece"),
        ("<s {a} s>", "{a} {b}", "'<s' is no special piece"),
    ],
)
def test_a_template_with_a_mistake_is_refused_where_it_is_made(single: str, pair: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PairTemplate(single, pair)


def test_templates_of_the_same_text_are_equal_and_can_be_sent_to_a_process() -> None:
    assert pickle.loads(pickle.dumps(ROBERTA)) == ROBERTA
    assert hash(PairTemplate(ROBERTA.single, ROBERTA.pair)) == hash(ROBERTA)
    assert PairTemplate(ROBERTA.single, ROBERTA.pair, has_segments=True) != ROBERTA
