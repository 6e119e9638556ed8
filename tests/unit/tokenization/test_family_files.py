"""Vocabularies of families without a tokenizer.json: vocab.json with merges.txt, and models of SentencePiece."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.tokenization import trained
from tests.unit.tokenization.trained import KEY, TEXTS, bert_pieces, sentencepiece, trained_pieces, write

from bertune.errors import CheckpointError
from bertune.system.protobuf_wire import delimited
from bertune.tokenization.charsmap import charsmap_fault
from bertune.tokenization.library_tokenizer import LibraryTokenizer
from bertune.tokenization.read_tokenizer import read_tokenizer
from bertune.tokenization.tokenizer_files import SENTENCEPIECE_FILES
from bertune.tokenization.tokenizer_protocol import Tokenizer

SPACE = "\u2581"
PLAIN = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), (f"{SPACE}a", -1.0, 1), ("b", -2.0, 1), ("A", -2.5, 1)]
SPACED = [*PLAIN, (SPACE, -3.0, 1)]


def ids_of(tokenizer: Tokenizer, *texts: str) -> list[list[int]]:
    ids, offsets = tokenizer.encode_flat(texts)
    return [part.tolist() for part in np.split(ids, offsets[1:-1])]


def pieces_of(tokenizer: Tokenizer, text: str) -> list[str]:
    return [piece.piece for piece in tokenizer.align(text)]


def byte_level(folder: Path, model_type: str = "roberta", **config: Any) -> Path:
    """Writes the files of a trained byte-level BPE, its special tokens before or, for DeBERTa, with BERT's names."""
    model = json.loads(trained.byte_level().to_str())["model"]
    names = {"<s>": "[CLS]", "</s>": "[SEP]", "<pad>": "[PAD]", "<unk>": "[UNK]", "<mask>": "[MASK]"}
    vocab = model["vocab"]
    if model_type == "deberta":
        vocab = {names.get(piece, piece): number for piece, number in vocab.items()}
    write(folder, "vocab.json", vocab)
    lines = ["#version: 0.2", *(" ".join(merge) for merge in model["merges"])]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    write(folder, "config.json", {"model_type": model_type})
    if config:
        write(folder, "tokenizer_config.json", config)
    return folder


def spm(folder: Path, content: bytes, *, model_type: str = "xlm-roberta", name: str = "", **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (name or SENTENCEPIECE_FILES[0])).write_bytes(content)
    write(folder, "config.json", {"model_type": model_type})
    if config:
        write(folder, "tokenizer_config.json", config)
    return folder


class TestByteLevel:
    def test_ids_are_those_of_the_tokenizer_it_is_of(self, tmp_path: Path) -> None:
        ours, theirs = read_tokenizer(byte_level(tmp_path)), trained.byte_level()
        assert ids_of(ours, *TEXTS) == [theirs.encode(text, add_special_tokens=False).ids for text in TEXTS]
        assert (ours.algorithm, ours.pad_id, ours.unk_id, ours.white_space) == ("byte-level BPE", 1, None, "leads")
        assert (ours.template.single, ours.template.special_count(pairs=True)) == ("<s> {a} </s>", 4)

    def test_windows_line_ends_are_read(self, tmp_path: Path) -> None:
        digest = read_tokenizer(byte_level(tmp_path)).digest
        path = tmp_path / "merges.txt"
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        assert read_tokenizer(tmp_path).digest == digest

    def test_a_space_before_the_text_is_the_configurations(self, tmp_path: Path) -> None:
        with_space = read_tokenizer(byte_level(tmp_path / "a", add_prefix_space=True))
        without = read_tokenizer(byte_level(tmp_path / "b"))
        assert ids_of(with_space, "good") == ids_of(without, " good") != ids_of(without, "good")

    def test_deberta_has_berts_template(self, tmp_path: Path) -> None:
        template = read_tokenizer(byte_level(tmp_path, "deberta")).template
        assert (template.pair, template.has_segments) == ("[CLS] {a} [SEP] {b} [SEP]", True)

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("merges.txt", b"#version: 0.2\ng o\nc\n", "line 3: 'c', expected two pieces"),
            ("merges.txt", b"a b\nq nowhere\n", "line 1: 'ab' is not in"),
            ("merges.txt", b"g o\ng nowhere\n", "line 2: 'nowhere' is not in"),
            ("merges.txt", b"\xff\n", "not UTF-8"),
            ("merges.txt", b"", "no merges"),
            ("merges.txt", b"g o\n" * 1_000_001, "more than 1,000,000 lines"),
            ("vocab.json", b"{}", "is not in"),
            ("vocab.json", b'{"a": ', "not a JSON file"),
            ("config.json", b"{}", "say that the tokenizer's files are those of no family that is known"),
            ("config.json", b'{"model_type": "gpt2"}', "those of no family that is known"),
        ],
    )
    def test_broken_files_are_one_error(self, tmp_path: Path, name: str, content: bytes, message: str) -> None:
        byte_level(tmp_path)
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError) as refused:
            read_tokenizer(tmp_path)
        assert message in refused.value.message

    def test_missing_special_tokens_are_named(self, tmp_path: Path) -> None:
        byte_level(tmp_path)
        vocab = json.loads((tmp_path / "vocab.json").read_bytes())
        write(tmp_path, "vocab.json", {("<t>" if piece == "</s>" else piece): n for piece, n in vocab.items()})
        with pytest.raises(CheckpointError, match="the vocabulary lacks '</s>'"):
            read_tokenizer(tmp_path)

    def test_merges_must_be_there(self, tmp_path: Path) -> None:
        (byte_level(tmp_path) / "merges.txt").unlink()
        with pytest.raises(CheckpointError, match=r"merges\.txt: no such file"):
            read_tokenizer(tmp_path)


class TestSentencePiece:
    def test_xlm_roberta_numbers_pieces_behind_fairseqs_four(self, tmp_path: Path) -> None:
        ours = read_tokenizer(spm(tmp_path, sentencepiece(SPACED)))
        names = ["<s>", "<pad>", "</s>", "<unk>", f"{SPACE}a", "b", "A", SPACE, "<mask>"]
        assert ours.convert_tokens_to_ids(names) == list(range(9))
        assert ids_of(ours, "ab  a", "z", "<mask>") == [[4, 5, 4], [7, 3], [8]]
        assert (ours.vocab_size, ours.pad_id, ours.unk_id) == (9, 1, 3)
        assert (ours.template.special_count(pairs=True), ours.template.has_segments) == (4, False)

    def test_camembert_numbers_them_behind_five(self, tmp_path: Path) -> None:
        ours = read_tokenizer(spm(tmp_path, sentencepiece(SPACED), model_type="camembert"))
        names = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", f"{SPACE}a", "b"]
        assert ours.convert_tokens_to_ids(names) == list(range(9))
        assert ids_of(ours, "ab") == [[7, 8]]

    def test_it_splits_as_the_tokenizer_that_was_trained(self, tmp_path: Path) -> None:
        """The same pieces and scores, from the file and from the library's own model."""
        ours, theirs = read_tokenizer(spm(tmp_path, sentencepiece(trained_pieces()))), trained.unigram()
        theirs.normalizer = None  # type: ignore[assignment]
        # Scores are 32-bit numbers in the file: pieces of equal likelihood may be chosen otherwise.
        plain = [text for text in TEXTS if text.isascii() and "\0" not in text and "<" not in text]
        expected = [theirs.encode(text, add_special_tokens=False).tokens for text in plain]
        assert [pieces_of(ours, text) for text in plain] == [
            [token if token in theirs.get_vocab() else "<unk>" for token in tokens] for tokens in expected
        ]

    @pytest.mark.parametrize("name", SENTENCEPIECE_FILES)
    def test_each_name_of_the_file_is_found(self, tmp_path: Path, name: str) -> None:
        assert isinstance(read_tokenizer(spm(tmp_path, sentencepiece(SPACED), name=name)), LibraryTokenizer)

    def test_deberta_has_berts_special_pieces_and_its_mask_behind(self, tmp_path: Path) -> None:
        pieces = bert_pieces()
        ours = read_tokenizer(spm(tmp_path, sentencepiece(pieces), model_type="deberta-v2", name="spm.model"))
        assert ours.convert_tokens_to_ids(["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]) == [0, 1, 2, 3, len(pieces)]
        assert (ours.template.pair, ours.template.has_segments) == ("[CLS] {a} [SEP] {b} [SEP]", True)
        assert (ours.vocab_size, ours.pad_id, ours.unk_id) == (len(pieces) + 1, 0, 3)
        write(tmp_path, "added_tokens.json", {"[MASK]": len(pieces), "<ent>": len(pieces) + 1})
        assert ids_of(read_tokenizer(tmp_path), "[MASK]<ent>") == [[len(pieces), len(pieces) + 1]]

    def test_albert_lower_cases_and_takes_accents_away(self, tmp_path: Path) -> None:
        pieces = [("<pad>", 0.0, 3), ("<unk>", 0.0, 2), *((f"[{name}]", 0.0, 3) for name in ("CLS", "SEP", "MASK"))]
        pieces += [
            (f"{SPACE}a", -1.0, 1),
            ("e", -1.0, 1),
            ("9", -1.0, 1),
            (",", -1.0, 1),
            ("9,", -1.1, 1),
            ('"', -1.0, 1),
        ]
        content = sentencepiece(pieces)
        ours = read_tokenizer(spm(tmp_path, content, model_type="albert"))
        assert pieces_of(ours, "A\u00c9 a9, a``") == [f"{SPACE}a", "e", f"{SPACE}a", "9", ",", f"{SPACE}a", '"']
        cased = read_tokenizer(spm(tmp_path, content, model_type="albert", do_lower_case=False, keep_accents=True))
        assert "<unk>" in pieces_of(cased, "A\u00c9")

    def test_what_no_piece_spells_becomes_bytes_where_the_model_says_so(self, tmp_path: Path) -> None:
        bytes_ = [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
        content = sentencepiece([*SPACED, *bytes_], trainer={35: 1})
        ours = read_tokenizer(spm(tmp_path, content))
        assert pieces_of(ours, "a\u00e9b") == [f"{SPACE}a", "<0xC3>", "<0xA9>", "b"]
        assert ours.unk_id is None

    def test_its_table_normalizes(self, tmp_path: Path) -> None:
        content = sentencepiece(SPACED, charsmap=trained.table())
        ours = read_tokenizer(spm(tmp_path, content))
        assert pieces_of(ours, f"b{KEY.decode()}") == [SPACE, "b", "A"]
        without = read_tokenizer(spm(tmp_path, sentencepiece(SPACED)))
        assert pieces_of(without, f"b{KEY.decode()}") == [SPACE, "b", "<unk>"]

    def test_dummy_prefix_and_extra_spaces_are_the_models(self, tmp_path: Path) -> None:
        content = sentencepiece(SPACED, normalizer={3: 0})
        assert pieces_of(read_tokenizer(spm(tmp_path, content)), "b ab") == ["b", "<unk>", "b"]
        pieces = [*bert_pieces(), (SPACE * 2, -9.0, 1)]
        kept = sentencepiece(pieces, normalizer={4: 0})
        folded = sentencepiece(pieces)
        counts = [
            len(pieces_of(read_tokenizer(spm(tmp_path, content, model_type="deberta-v2")), "good   bad  "))
            for content in (kept, folded)
        ]
        assert counts[0] > counts[1]

    def test_user_defined_pieces_are_cut_out_of_texts(self, tmp_path: Path) -> None:
        ours = read_tokenizer(spm(tmp_path, sentencepiece([*SPACED, ("<ent>", 0.0, 4)])))
        (token,) = (token for token in ours.added_tokens if token.content == "<ent>")
        assert not token.special
        assert pieces_of(ours, "a<ent>a") == [f"{SPACE}a", "<ent>", f"{SPACE}a"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "no piece for what is unknown"),
            (b"\xff\xff\xff", "not a model of SentencePiece"),
            (sentencepiece(SPACED)[:-1], "not a model of SentencePiece"),
            (sentencepiece(SPACED)[:40], "not a model of SentencePiece"),
            (delimited(1, delimited(1, delimited(1, b"x")) * 20_000)[:5000], "not a model of SentencePiece"),
            (delimited(1, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a"), "not a model of SentencePiece"),
            (sentencepiece(SPACED, trainer={3: 2}), "the algorithm is BPE"),
            (sentencepiece(SPACED, trainer={3: 99}), "the algorithm is 99"),
            (sentencepiece(SPACED, trainer={24: 1}), "white space is not written"),
            (sentencepiece(SPACED, normalizer={5: 0}), "white space is not written"),
            (sentencepiece([*SPACED, ("b", -1.0, 1)]), "the pieces 4 and 7 are both 'b'"),
            (sentencepiece([*SPACED, ("", -1.0, 1)]), "the piece 7 is empty"),
            (sentencepiece([*SPACED, ("x", float("nan"), 1)]), "its score is no number"),
            (sentencepiece([*SPACED, ("x", 0.0, 5)]), "of the kind 5"),
            (sentencepiece([*SPACED, ("x", 0.0, 2)]), "or several"),
            (sentencepiece(SPACED, charsmap=b"\x04\0\0\0\0"), "the size of its array is not one"),
            (sentencepiece(SPACED, charsmap=trained.table(value=500)), "leads out of its texts"),
            (sentencepiece(SPACED, charsmap=trained.table("é".encode(), value=1)), "inside of a character"),
        ],
    )
    def test_broken_and_other_models_are_one_error(self, tmp_path: Path, content: bytes, message: str) -> None:
        spm(tmp_path, content)
        with pytest.raises(CheckpointError) as refused:
            read_tokenizer(tmp_path)
        assert message in refused.value.message
        assert refused.value.exit_code == 3

    def test_a_large_file_is_refused_unread(self, tmp_path: Path) -> None:
        spm(tmp_path, b"")
        with (tmp_path / SENTENCEPIECE_FILES[0]).open("wb") as stream:
            stream.truncate(5_000_000_000)
        with pytest.raises(CheckpointError, match="too large for such a file"):
            read_tokenizer(tmp_path)

    @pytest.mark.parametrize(
        ("model_type", "message"),
        [
            ("t5", "those of no family that is known"),
            ("mpnet", "those of mpnet"),
            ("deberta-v2", "there is no piece '[CLS]', as there is in the models of deberta-v2"),
        ],
    )
    def test_a_model_of_another_family_is_refused(self, tmp_path: Path, model_type: str, message: str) -> None:
        spm(tmp_path, sentencepiece(SPACED), model_type=model_type)
        with pytest.raises(CheckpointError) as refused:
            read_tokenizer(tmp_path)
        assert message in refused.value.message

    def test_the_class_of_the_tokenizer_comes_before_the_model(self, tmp_path: Path) -> None:
        """As multilingual MiniLM and e5 have it: BERT's body, XLM-R's pieces."""
        folder = spm(tmp_path, sentencepiece(SPACED), model_type="bert", tokenizer_class="XLMRobertaTokenizer")
        assert ids_of(read_tokenizer(folder), "ab") == [[4, 5]]
        (folder / "tokenizer_config.json").unlink()
        write(folder, "config.json", {"model_type": "bert", "tokenizer_class": "XLMRobertaTokenizer"})
        assert ids_of(read_tokenizer(folder), "ab") == [[4, 5]]


@pytest.mark.parametrize("model_type", ["roberta", "xlm-roberta", "deberta-v2"])
def test_a_folder_without_the_vocabulary_says_which_is_missing(tmp_path: Path, model_type: str) -> None:
    write(tmp_path, "config.json", {"model_type": model_type})
    with pytest.raises(CheckpointError, match=f"there is no vocabulary of {model_type}: neither tokenizer.json nor"):
        read_tokenizer(tmp_path)


def test_families_are_saved_as_one_tokenizer_json(tmp_path: Path) -> None:
    folders = [
        byte_level(tmp_path / "roberta"),
        spm(tmp_path / "xlm", sentencepiece(trained_pieces(), charsmap=trained.table())),
        spm(tmp_path / "deberta", sentencepiece(bert_pieces()), model_type="deberta-v2"),
    ]
    for number, folder in enumerate(folders):
        ours = read_tokenizer(folder)
        ours.save(tmp_path / str(number))
        again = read_tokenizer(tmp_path / str(number))
        assert (again.digest, ids_of(again, *TEXTS)) == (ours.digest, ids_of(ours, *TEXTS))


def test_a_table_is_followed_to_its_ends() -> None:
    assert charsmap_fault(trained.table()) is None
    assert charsmap_fault(b"\x04\0\0\0") == "it is too short"
    content = bytearray(trained.table())
    content[4:8] = (0xFFFFFFFF).to_bytes(4, "little")
    assert charsmap_fault(bytes(content)) == "a path leads out of its array"
    assert charsmap_fault(trained.table(b"\xff")) == "its texts are not UTF-8"
