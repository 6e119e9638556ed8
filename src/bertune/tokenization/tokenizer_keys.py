"""The keys of tokenizer_config.json and special_tokens_map.json: which change the ids, and to what they may be set.

A key that is not known here is refused by its name: a tokenizer that computes something else would train in silence on
other ids than those of pre-training.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bertune.errors import CheckpointError
from bertune.tokenization.vocabulary import CLS, MASK, PAD, SEP, UNK

ROLES: Final = {"unk_token": UNK, "sep_token": SEP, "pad_token": PAD, "cls_token": CLS, "mask_token": MASK}

# Classes that split texts as BERT's does; the generic ones do what tokenizer.json says.
_CLASSES = {
    "BertTokenizer",
    "ConvBertTokenizer",
    "DPRContextEncoderTokenizer",
    "DPRQuestionEncoderTokenizer",
    "DPRReaderTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "LayoutLMTokenizer",
    "LxmertTokenizer",
    "MobileBertTokenizer",
    "PreTrainedTokenizer",
    "RetriBertTokenizer",
    "SqueezeBertTokenizer",
    "TokenizersBackend",
}
# Keys that would change the ids, with the values under which they do not; None is always one.
_HARMLESS_VALUES: dict[str, tuple[Any, ...]] = {
    "clean_text": (True,),
    "do_basic_tokenize": (True,),
    "do_subword_tokenize": (True,),
    "do_word_tokenize": (True,),
    "handle_chinese_chars": (True,),
    "jumanpp_kwargs": ({},),
    "mecab_kwargs": ({},),
    "never_split": ([], {}),
    "sp_model_kwargs": ({},),
    "spm_file": (),
    "subword_tokenizer_type": ("wordpiece",),
    "sudachi_kwargs": ({},),
    "tokenize_chinese_chars": (True,),
    "word_tokenizer_type": ("basic",),
    "wordpieces_prefix": ("##",),
}
# Read elsewhere, or without a part in the ids of a text.
_HARMLESS_KEYS = frozenset(
    (
        "_commit_hash",
        "_name_or_path",
        "add_bos_token",
        "add_eos_token",
        "add_prefix_space",
        "added_tokens_decoder",
        "additional_special_tokens",
        "additional_special_tokens_ids",
        "auto_map",
        "backend",
        "bos_token",
        "chat_template",
        "clean_up_tokenization_spaces",
        "cls_token_box",
        "config_class",
        "default_to_notebook",
        "device_map",
        "do_lower_case",
        "dtype",
        "eos_token",
        "errors",
        "extra_special_tokens",
        "fix_mistral_regex",
        "from_slow",
        "full_tokenizer_file",
        "init_inputs",
        "is_fast",
        "is_local",
        "legacy",
        "local_files_only",
        "max_input_chars_per_word",
        "max_len",
        "max_length",
        "model_input_names",
        "model_max_length",
        "model_specific_special_tokens",
        "model_type",
        "name_or_path",
        "only_label_first_subword",
        "pad_to_max_length",
        "pad_to_multiple_of",
        "pad_token_box",
        "pad_token_label",
        "pad_token_type_id",
        "padding",
        "padding_side",
        "processor_class",
        "return_tensors",
        "sep_token_box",
        "special_tokens_map_file",
        "split_special_tokens",
        "stride",
        "strip_accents",
        "tags",
        "task_specific_params",
        "token_type_ids_pattern",
        "tokenizer_class",
        "tokenizer_file",
        "tokenizer_type",
        "transformers_version",
        "truncation",
        "truncation_side",
        "truncation_strategy",
        "trust_remote_code",
        "unk_id",
        "use_fast",
        "verbose",
        "vocab_file",
        "vocab_size",
    )
)
# Classes of transformers whose tokenizers the tokenizers library runs, with the family that their files belong to.
_FAMILIES = {
    "AlbertTokenizer": "albert",
    "BarthezTokenizer": None,
    "BartTokenizer": "roberta",
    "BigBirdTokenizer": None,
    "CamembertTokenizer": "camembert",
    "CodeGenTokenizer": None,
    "DebertaTokenizer": "deberta",
    "DebertaV2Tokenizer": "deberta-v2",
    "FNetTokenizer": None,
    "GPT2Tokenizer": None,
    "GPTNeoXTokenizer": None,
    "GemmaTokenizer": None,
    "HerbertTokenizer": None,
    "LEDTokenizer": "roberta",
    "LlamaTokenizer": None,
    "LongformerTokenizer": "roberta",
    "MPNetTokenizer": "mpnet",
    "MvpTokenizer": "roberta",
    "PreTrainedTokenizer": None,
    "Qwen2Tokenizer": None,
    "RemBertTokenizer": None,
    "RobertaTokenizer": "roberta",
    "T5Tokenizer": None,
    "TokenizersBackend": None,
    "XLMRobertaTokenizer": "xlm-roberta",
    "XLNetTokenizer": None,
}
# The same by `model_type` of config.json.
_MODEL_TYPES = {
    "albert": "albert",
    "bart": "roberta",
    "camembert": "camembert",
    "data2vec-text": "roberta",
    "deberta": "deberta",
    "deberta-v2": "deberta-v2",
    "longformer": "roberta",
    "mpnet": "mpnet",
    "roberta": "roberta",
    "roberta-prelayernorm": "roberta",
    "xlm-roberta": "xlm-roberta",
    "xlm-roberta-xl": "xlm-roberta",
    "xmod": "xlm-roberta",
}
# Of other tokenizers than BERT's: read elsewhere, said by tokenizer.json too, or without a part in the ids of a text.
_HARMLESS_LIBRARY_KEYS = frozenset(
    (
        "extra_ids",
        "image_token",
        "keep_accents",
        "lang",
        "max_position_embeddings",
        "merges_file",
        "remove_space",
        "sp_model",
        "spaces_between_special_tokens",
        "split_by_punct",
        "trim_offsets",
        "use_default_system_prompt",
        "vocab_type",
    )
)
_OTHER = "take a model whose tokenizer is BERT's WordPiece, such as --model bert-base-multilingual-cased"


def check_keys(path: Path, values: Mapping[str, Any]) -> None:
    """Refuses what would make other ids than BERT's tokenizer.

    Args:
        path: the file, for the message.
        values: its content.

    Raises:
        CheckpointError: names the key.
    """
    check_class(path, values)
    _check_roles(path, values)
    lower, strip = values.get("do_lower_case"), values.get("strip_accents")
    if strip is not None and isinstance(lower, bool) and strip != lower:
        raise CheckpointError(
            f"{path}: strip_accents={strip} with do_lower_case={lower}, but BERT strips accents if it lower-cases"
        )
    for key, value in values.items():
        if key in _HARMLESS_VALUES:
            if value is not None and value not in _HARMLESS_VALUES[key]:
                raise CheckpointError(f"{path}: {_shown(key, value)}, which BERT's tokenizer does not do", hint=_OTHER)
        elif key not in _HARMLESS_KEYS and key not in ROLES:
            raise CheckpointError(
                f"{path}: the key {key[:60]!r} is not known, and it may change the ids of a text",
                hint="take it out of the file if it does not; else " + _OTHER,
            )


def check_class(path: Path, values: Mapping[str, Any]) -> None:
    """Refuses a tokenizer of another class than BERT's, or one that comes as code of its own.

    Raises:
        CheckpointError: names the class.
    """
    given = values.get("tokenizer_class")
    if given is not None and str(given).removesuffix("Fast") not in _CLASSES:
        raise CheckpointError(f"{path}: tokenizer_class is {str(given)[:80]!r}, which is not BERT's", hint=_OTHER)
    _check_code(path, values)


def _check_code(path: Path, values: Mapping[str, Any]) -> None:
    code = values.get("auto_map")
    if isinstance(code, Mapping) and "AutoTokenizer" in code:
        raise CheckpointError(
            f"{path}: auto_map names code of the model's own for its tokenizer ({str(code['AutoTokenizer'])[:80]}), "
            "which bertune does not run",
            hint=_OTHER,
        )


def family_of(values: Mapping[str, Any]) -> str | None:
    """Tells whose the tokenizer's files are: `bert`, `roberta`, `xlm-roberta` and so on; None where nothing tells.

    Args:
        values: of tokenizer_config.json, or of config.json.
    """
    name = str(values.get("tokenizer_class")).removesuffix("Fast")
    if family := "bert" if name in _CLASSES - _FAMILIES.keys() else _FAMILIES.get(name):
        return family
    return _MODEL_TYPES.get(str(values.get("model_type")))


def check_library_keys(path: Path, values: Mapping[str, Any]) -> None:
    """Refuses what the `tokenizers` library would not do, or what is not known, for other tokenizers than BERT's.

    Raises:
        CheckpointError: names the key.
    """
    given = values.get("tokenizer_class")
    if given is not None and str(given).removesuffix("Fast") not in _FAMILIES.keys() | _CLASSES:
        raise CheckpointError(
            f"{path}: tokenizer_class is {str(given)[:80]!r}, which the tokenizers library does not run",
            hint="take a model whose tokenizer has a fast class",
        )
    _check_code(path, values)
    known = _HARMLESS_KEYS | _HARMLESS_LIBRARY_KEYS | _HARMLESS_VALUES.keys() | ROLES.keys()
    if unknown := next((key for key in values if key not in known and not key.endswith("_token")), None):
        raise CheckpointError(
            f"{path}: the key {unknown[:60]!r} is not known, and it may change the ids of a text",
            hint="take it out of the file if it does not",
        )
    for key in ("sp_model_kwargs", "never_split"):
        if values.get(key):
            raise CheckpointError(
                f"{path}: {_shown(key, values[key])}, which the tokenizers library does not do",
                hint="take it out of the file if the model was not trained with it",
            )


def _check_roles(path: Path, values: Mapping[str, Any]) -> None:
    for role, expected in ROLES.items():
        given = values.get(role)
        given = given.get("content") if isinstance(given, dict) else given
        if given not in (None, expected):
            raise CheckpointError(f"{path}: {role} is {given!r}, only BERT's {expected!r} is supported")


def _shown(key: str, value: Any) -> str:
    return f"{key}={str(value).lower()}" if isinstance(value, bool) else f"{key} is {str(value)[:80]!r}"
