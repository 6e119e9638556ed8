"""tokenizer.json of other kinds than BERT's, run as it is."""

import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.tokenization import trained
from tests.unit.tokenization.trained import KINDS, ROLES, TEXTS, save, write
from tokenizers import Tokenizer as LibraryPipeline

from bertune.errors import BertuneError, CheckpointError, DataError
from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.library_tokenizer import LibraryTokenizer
from bertune.tokenization.read_tokenizer import read_tokenizer
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.tokenization.tokenizer_protocol import Tokenizer

PAIRS = list(zip(TEXTS, TEXTS[::-1], strict=True))


@pytest.fixture(params=list(KINDS))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return save(KINDS[request.param](), tmp_path / "model", **({"bos_token": "<s>"} | ROLES.get(request.param, {})))


@pytest.fixture
def byte_level(tmp_path: Path) -> Path:
    return save(trained.byte_level(), tmp_path / "model")


def pipeline_of(folder: Path) -> LibraryPipeline:
    return LibraryPipeline.from_file(str(folder / "tokenizer.json"))


def rows(tokenizer: Tokenizer, texts_a: list[str], texts_b: list[str] | None = None) -> list[list[int]]:
    encoded = encode_examples(texts_a, texts_b, tokenizer, 5000)
    return [part.tolist() for part in np.split(encoded.token_ids, encoded.offsets[1:-1])]


def ids_of(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    ids, offsets = tokenizer.encode_flat(texts)
    return [part.tolist() for part in np.split(ids, offsets[1:-1])]


def changed(folder: Path, **parts: Any) -> Path:
    values = json.loads((folder / "tokenizer.json").read_bytes())
    write(folder, "tokenizer.json", values | parts)
    return folder


def test_ids_and_special_tokens_are_those_of_the_library(folder: Path) -> None:
    ours, theirs = read_tokenizer(folder), pipeline_of(folder)
    assert rows(ours, TEXTS) == [theirs.encode(text).ids for text in TEXTS]
    second = [text for _, text in PAIRS]
    assert rows(ours, TEXTS, second) == [theirs.encode(*pair).ids for pair in PAIRS]
    assert ours.vocab_size == theirs.get_vocab_size()


def test_types_are_those_of_the_library_where_the_model_takes_them(folder: Path) -> None:
    ours, theirs = read_tokenizer(folder), pipeline_of(folder)
    encoded = encode_examples(["good"], ["bad film"], ours, 100)
    found = theirs.encode("good", "bad film").type_ids
    config = json.loads((folder / "tokenizer_config.json").read_bytes()) if ours.algorithm == "byte-level BPE" else {}
    takes_types = "model_input_names" not in config
    assert encoded.first_lengths.tolist() == [found.count(0) if takes_types else len(found)]
    if not takes_types:
        assert 1 in found
        write(folder, "tokenizer_config.json", config | {"model_input_names": ["input_ids", "token_type_ids"]})
        again = encode_examples(["good"], ["bad film"], read_tokenizer(folder), 100)
        assert again.first_lengths.tolist() == [found.count(0)]


def test_a_saved_tokenizer_comes_back_the_same(folder: Path, tmp_path: Path) -> None:
    before = read_tokenizer(folder)
    before.save(tmp_path / "again", model_max_length=77)
    after = read_tokenizer(tmp_path / "again")
    assert isinstance(after, LibraryTokenizer)
    for name in ("digest", "code_digest", "template", "vocab_size", "pad_id", "unk_id", "added_tokens", "white_space"):
        assert getattr(after, name) == getattr(before, name)
    assert ids_of(after, TEXTS) == ids_of(before, TEXTS)
    assert {path.name for path in (tmp_path / "again").iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    config = json.loads((tmp_path / "again" / "tokenizer_config.json").read_bytes())
    assert (config["model_max_length"], config["tokenizer_class"]) == (77, "PreTrainedTokenizerFast")


def test_a_copy_in_another_process_is_the_same(folder: Path) -> None:
    ours = read_tokenizer(folder)
    copy = pickle.loads(pickle.dumps(ours))
    assert (copy.digest, ids_of(copy, TEXTS)) == (ours.digest, ids_of(ours, TEXTS))


def test_pieces_of_a_text_stand_in_their_places(folder: Path) -> None:
    ours = read_tokenizer(folder)
    for text in TEXTS:
        aligned = ours.align(text)
        assert ours.convert_tokens_to_ids(piece.piece for piece in aligned) == ids_of(ours, [text])[0]
        assert all(0 <= piece.start <= piece.end <= len(text) for piece in aligned)
    assert [piece.word for piece in ours.align("good bad")][:: len(ours.align("good bad")) - 1] == [0, 1]


def test_the_beginning_of_a_text_has_its_first_pieces(folder: Path) -> None:
    """What `white_space` says: else long texts would be cut wrongly."""
    ours = read_tokenizer(folder)
    assert ours.white_space == ("unknown" if ours.algorithm == "BPE" else "leads")
    draw = random.Random(3)
    words = [*" ".join(TEXTS).split(), "\u0301", "\u0600", "\uff21", "e\u0301", "  "]
    for _ in range(200):
        text = "".join(draw.choice(words) + draw.choice([" ", "  ", "\t", "\n", "\r\n"]) for _ in range(40))
        cuts = [place for place in range(1, len(text)) if text[place] in " \t\n\r" and text[place - 1] not in " \t\n\r"]
        (whole,), (begun,) = (ids_of(ours, [part]) for part in (text, text[: draw.choice(cuts)]))
        if ours.white_space == "leads":
            assert begun[: max(0, len(begun) - 4)] == whole[: max(0, len(begun) - 4)]
    long = "good  bad film " * 3000
    encoded = encode_examples([long], None, ours, 64)
    whole = ids_of(ours, [long])[0]
    inner = ours.template.room(64, pairs=False)
    assert encoded.token_ids[1 : 1 + inner].tolist() == whole[:inner]


def test_halves_of_surrogate_pairs_are_the_replacement_character(folder: Path) -> None:
    ours = read_tokenizer(folder)
    assert ids_of(ours, ["good \ud800 bad"]) == ids_of(ours, ["good \ufffd bad"])
    assert len(ours.align("good \udc00")) == len(ids_of(ours, ["good \udc00"])[0])


def test_what_is_no_text_is_refused(byte_level: Path) -> None:
    ours = read_tokenizer(byte_level)
    with pytest.raises(DataError, match="text 1 is int, expected str"):
        ours.encode_flat(["a", 1])  # type: ignore[list-item]
    with pytest.raises(DataError, match="got one string"):
        ours.encode_flat("a")
    with pytest.raises(DataError, match="'nowhere' is not in the vocabulary"):
        ours.convert_tokens_to_ids(["nowhere"])
    assert [part.tolist() for part in ours.encode_flat([])] == [[], [0]]


def test_truncation_and_padding_of_the_file_are_not_ours(byte_level: Path) -> None:
    before = read_tokenizer(byte_level)
    made = pipeline_of(byte_level)
    made.enable_truncation(4)
    made.enable_padding(length=9, pad_id=1, pad_token="<pad>")
    save(made, byte_level)
    after = read_tokenizer(byte_level)
    assert (after.digest, ids_of(after, TEXTS)) == (before.digest, ids_of(before, TEXTS))


def test_every_part_of_the_file_is_in_the_digest(tmp_path: Path) -> None:
    base = save(trained.byte_level(), tmp_path / "base", pad_token="<pad>")
    digests = {read_tokenizer(base).digest}
    changes: list[dict[str, Any]] = [
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
        {"post_processor": {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}},
        {"added_tokens": []},
    ]
    for number, change in enumerate(changes):
        made = changed(save(trained.byte_level(), tmp_path / str(number), pad_token="<pad>"), **change)
        digests.add(read_tokenizer(made).digest)
    split = save(trained.byte_level(), tmp_path / "split", pad_token="<pad>", split_special_tokens=True)
    digests.add(read_tokenizer(split).digest)
    assert len(digests) == len(changes) + 2
    decoded = changed(save(trained.byte_level(), tmp_path / "decoder", pad_token="<pad>"), decoder=None)
    assert read_tokenizer(decoded).digest in digests


@pytest.mark.parametrize(
    ("processor", "single", "pair", "segments"),
    [
        ({"type": "RobertaProcessing", "trim_offsets": True, "add_prefix_space": False}, "<s> {a} </s>", 4, False),
        ({"type": "BertProcessing"}, "<s> {a} </s>", 3, True),
    ],
)
def test_the_template_is_read_from_the_post_processor(
    byte_level: Path, processor: dict[str, Any], single: str, pair: int, segments: bool
) -> None:
    changed(byte_level, post_processor=processor | {"sep": ["</s>", 2], "cls": ["<s>", 0]})
    template = read_tokenizer(byte_level).template
    assert (template.single, template.special_count(pairs=True), template.has_segments) == (single, pair, segments)


def part(name: str, kind: int = 0) -> dict[str, Any]:
    inner = {"id": name, "type_id": kind}
    return {"Sequence": inner} if name in "ABC" else {"SpecialToken": inner}


def template(single: list[Any], pair: list[Any], ids: dict[str, int] | None = None) -> dict[str, Any]:
    tokens = {name: {"id": name, "ids": [number], "tokens": [name]} for name, number in (ids or IDS).items()}
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}


IDS = {"<s>": 0, "</s>": 2}
SINGLE = [part("<s>"), part("A"), part("</s>")]
PAIR = [*SINGLE, part("B"), part("</s>")]


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (None, "does not say which special tokens"),
        ({"type": "ByteLevel", "trim_offsets": True}, "does not say which special tokens"),
        ({"type": "Sequence", "processors": [template(SINGLE, PAIR)] * 2}, "does not say which special tokens"),
        ({"type": "Other"}, "the post-processor is 'Other'"),
        ({"type": "RobertaProcessing", "sep": ["</s>", 2]}, "the post-processor is malformed"),
        (
            {"type": "RobertaProcessing", "sep": ["</s>", 3], "cls": ["<s>", 0]},
            "gives '</s>' the id 3, the vocabulary 2",
        ),
        (template([part("A"), part("</s>")], PAIR), "writes 1 special tokens around a text"),
        (template(SINGLE, [*SINGLE, part("B", 1), part("</s>")]), "1 from the second text on, or 0 for all"),
        (template([part("<s>", 1), part("A"), part("</s>")], PAIR), "1 from the second text on"),
        (template(SINGLE, [part("<s>"), part("B"), part("</s>"), part("A"), part("</s>")]), "is no template"),
        (template(SINGLE, [*SINGLE, part("C"), part("</s>")]), "malformed"),
        (template(SINGLE, PAIR, {"<s>": 0}), "malformed"),
        ({"type": "TemplateProcessing"}, "malformed"),
    ],
)
def test_other_post_processors_are_refused(byte_level: Path, processor: Any, message: str) -> None:
    changed(byte_level, post_processor=processor)
    with pytest.raises(CheckpointError) as refused:
        read_tokenizer(byte_level)
    assert message in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalizer": {"type": "RunsCode"}}, "the normalizer 'RunsCode' is not known"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, 3]}}, "the normalizer 'None' is not"),
        ({"pre_tokenizer": {"type": "CustomPreTokenizer"}}, "the pre_tokenizer 'CustomPreTokenizer' is not known"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": "x"}}, "the tokenizers library cannot read it"),
        ({"added_tokens": 3}, "added tokens are malformed"),
        ({"added_tokens": [{"id": 0, "content": "</s>", "special": True}]}, "has the id 0, elsewhere 2"),
        ({"added_tokens": [{"id": 900, "content": "<x>", "special": True}]}, "'<x>' has the id 900, expected 330"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAA"}}, "is damaged: it is not base64"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "////////"}}, "the size of its array"),
    ],
)
def test_what_is_unknown_or_broken_is_one_error(byte_level: Path, change: dict[str, Any], message: str) -> None:
    changed(byte_level, **change)
    with pytest.raises(CheckpointError) as refused:
        read_tokenizer(byte_level)
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dropout": 0.1}, "dropout is 0.1, so that a text has other ids each time"),
        ({"vocab": {}}, "the vocabulary is empty"),
        ({"vocab": {"a": 1, "b": 1}}, "two pieces of the vocabulary have the same id"),
        ({"vocab": {"a": -1}}, "no whole number from 0"),
        ({"vocab": {"a": 10_000_000}}, "no whole number from 0"),
        ({"merges": [["x", "nowhere"]]}, "the merge 0, of 'x' and 'nowhere': 'nowhere' is not in the vocabulary"),
        ({"merges": ["x q"]}, "the merge 0, of 'x' and 'q': 'xq' is not in the vocabulary"),
        ({"merges": ["x"]}, "the merge 0 is not of two pieces"),
        ({"merges": None}, "the merges are malformed"),
        ({"continuing_subword_prefix": "##"}, "does not begin with '##'"),
        ({"type": "Unigram"}, "the vocabulary is empty"),
        ({"type": "WordLevel"}, "the model is WordLevel, expected BPE, Unigram, WordPiece"),
    ],
)
def test_broken_models_are_refused(byte_level: Path, change: dict[str, Any], message: str) -> None:
    model = json.loads((byte_level / "tokenizer.json").read_bytes())["model"]
    changed(byte_level, model=model | change)
    with pytest.raises(CheckpointError) as refused:
        read_tokenizer(byte_level)
    assert message in refused.value.message


def test_scores_that_are_none_are_refused(tmp_path: Path) -> None:
    folder = save(trained.unigram(), tmp_path)
    model = json.loads((folder / "tokenizer.json").read_bytes())["model"]
    for entry in (["a"], ["a", "b"], ["a", True], 3):
        changed(folder, model=model | {"vocab": [*model["vocab"], entry]})
        with pytest.raises(CheckpointError, match="is no piece with its score"):
            read_tokenizer(folder)


def test_a_file_of_early_versions_is_read(tmp_path: Path) -> None:
    """They did not write the kind of the model."""
    folder = save(trained.byte_level(), tmp_path)
    model = json.loads((folder / "tokenizer.json").read_bytes())["model"]
    del model["type"]
    changed(folder, model=model)
    assert ids_of(read_tokenizer(folder), TEXTS) == [
        pipeline_of(folder).encode(text, add_special_tokens=False).ids for text in TEXTS
    ]


class TestTheFilesBesideIt:
    def test_their_tokens_are_added(self, byte_level: Path) -> None:
        decoder = {"330": {"content": "<ent>", "lstrip": True, "special": False}}
        write(byte_level, "tokenizer_config.json", {"added_tokens_decoder": decoder, "mask_token": "<mask>"})
        write(byte_level, "added_tokens.json", {"<ent>": 330, "<new>": 331})
        write(byte_level, "special_tokens_map.json", {"additional_special_tokens": ["<new>", "good"]})
        vocab = pipeline_of(byte_level).get_vocab()
        ours = read_tokenizer(byte_level)
        assert ours.vocab_size == 332
        found = {token.content: token for token in ours.added_tokens}
        assert found["<ent>"].lstrip
        assert found["<new>"].special
        assert found["good"].id == vocab["good"]
        assert ours.convert_tokens_to_ids(["<ent>", "<new>"]) == [330, 331]
        assert [piece.piece for piece in ours.align("x  <ent>y<new>")] == ["x", "<ent>", "y", "<new>"]

    def test_a_token_without_an_id_is_refused(self, byte_level: Path) -> None:
        write(byte_level, "special_tokens_map.json", {"additional_special_tokens": ["<new>"]})
        with pytest.raises(CheckpointError, match="the special token '<new>' has no id"):
            read_tokenizer(byte_level)

    def test_special_tokens_may_be_plain_text(self, tmp_path: Path) -> None:
        folder = save(trained.byte_level(), tmp_path, split_special_tokens=True)
        ours = read_tokenizer(folder)
        assert 2 not in ids_of(ours, ["a </s> b"])[0]
        ours.save(tmp_path / "again")
        assert ids_of(read_tokenizer(tmp_path / "again"), TEXTS) == ids_of(ours, TEXTS)
        (folder / "tokenizer_config.json").unlink()
        assert 2 in ids_of(read_tokenizer(folder), ["a </s> b"])[0]

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"add_prefix_space": True}, "says add_prefix_space=true, the pre-tokenizer of"),
            ({"some_new_flag": 1}, "the key 'some_new_flag' is not known"),
            ({"tokenizer_class": "BertJapaneseTokenizer"}, "tokenizer_class is 'BertJapaneseTokenizer'"),
            ({"auto_map": {"AutoTokenizer": ["x.Y", None]}}, "code of the model's own"),
            ({"sp_model_kwargs": {"enable_sampling": True}}, "sp_model_kwargs is"),
            ({"split_special_tokens": 3}, "split_special_tokens is 3, expected true or false"),
            ({"added_tokens_decoder": [1]}, "added tokens are malformed"),
            ({"added_tokens_decoder": {"7": {"content": "<s>"}}}, "'<s>' has the id 7, elsewhere 0"),
        ],
    )
    def test_what_changes_ids_is_refused_by_name(self, byte_level: Path, config: dict[str, Any], message: str) -> None:
        write(byte_level, "tokenizer_config.json", config)
        with pytest.raises(CheckpointError) as refused:
            read_tokenizer(byte_level)
        assert message in refused.value.message

    def test_what_does_not_is_read(self, byte_level: Path) -> None:
        before = read_tokenizer(byte_level).digest
        config = {"do_lower_case": True, "trim_offsets": True, "model_max_length": 10**30, "cls_token": "<s>"}
        write(byte_level, "tokenizer_config.json", config | {"tokenizer_class": "RobertaTokenizerFast"})
        assert read_tokenizer(byte_level).digest == before

    def test_a_model_without_padding_is_refused(self, tmp_path: Path) -> None:
        made = trained.byte_level()
        values = json.loads(made.to_str().replace("<pad>", "<gap>"))
        write(tmp_path, "tokenizer.json", values)
        with pytest.raises(CheckpointError, match="there is no padding piece"):
            read_tokenizer(tmp_path)
        write(tmp_path, "tokenizer.json", values | {"padding": padding("<gap>")})
        assert read_tokenizer(tmp_path).pad_id == 1


def padding(token: str) -> dict[str, Any]:
    return {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 1,
        "pad_type_id": 0,
        "pad_token": token,
    }


def test_berts_own_files_are_read_as_before(tmp_path: Path, tokenizer: BertTokenizer) -> None:
    tokenizer.save(tmp_path)
    assert isinstance(read_tokenizer(tmp_path), BertTokenizer)
    (tmp_path / "vocab.txt").unlink()
    assert isinstance(read_tokenizer(tmp_path), BertTokenizer)


def test_lower_casing_is_found_out(tmp_path: Path) -> None:
    assert read_tokenizer(save(trained.mpnet(), tmp_path / "m", **ROLES["mpnet"])).do_lower_case
    assert not read_tokenizer(save(trained.unigram(), tmp_path / "u")).do_lower_case


def test_the_unknown_piece_is_told(tmp_path: Path) -> None:
    unk = {"byte-level": None, "modern": None, "unigram": 3, "mpnet": 3}
    for name, expected in unk.items():
        assert read_tokenizer(save(KINDS[name](), tmp_path / name, **ROLES.get(name, {}))).unk_id == expected


def test_a_file_too_large_or_too_deep_is_refused_at_once(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as stream:
        stream.truncate(3_000_000_000)
    with pytest.raises(BertuneError, match="more than 40,000,000 bytes"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(b'{"merges":[' + b"[]," * 3_000_000 + b"[]]}")
    with pytest.raises(CheckpointError, match="more than 3,000,000 lists"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(b'{"merges":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    with pytest.raises(CheckpointError, match="nested too deeply"):
        read_tokenizer(tmp_path)
