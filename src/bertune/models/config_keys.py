"""Keys of `config.json` that do not change what an encoder computes.

transformers writes one file for all that it does: generation of text, the tasks of a head, what a model returns. A
family reads the keys it knows; of the others, those below are left aside, and any that is in neither list is refused,
since it may stand for arithmetic that is not done here.
"""

from collections.abc import Mapping
from typing import Final

ENCODER_ONLY: Final[Mapping[str, tuple[str | int, ...]]] = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}
"""What BERT and its relatives may say: with other values they are decoders, or have other positions."""

_ORIGIN: Final = (
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_name_or_path",
    "architectures",
    "attn_implementation",
    # Code that came with the weights: it is ignored, and never followed.
    "auto_map",
    "bertune_version",
    "dtype",
    "finetuning_task",
    "model_type",
    "name_or_path",
    "sentence_transformers",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
)
_HEAD: Final = (
    "_num_labels",
    "classifier_dropout",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
)
_RETURNED: Final = (
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "return_dict",
    "return_dict_in_generate",
    "tie_last_hidden_states",
    "use_return_dict",
)
_HOW_IT_RUNS: Final = (
    "chunk_size_feed_forward",
    "gradient_checkpointing",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tie_word_embeddings",
    "torchscript",
    "use_bfloat16",
    "use_cache",
    "xla_device",
)
_TOKENS: Final = (
    "bos_token_id",
    "cls_token_id",
    "decoder_start_token_id",
    "do_lower_case",
    "eos_token_id",
    "eos_token_ids",
    "mask_token_id",
    "model_max_length",
    "prefix",
    "sep_token_id",
    "unk_token_id",
)
_GENERATION: Final = (
    "bad_words_ids",
    "begin_suppress_tokens",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "remove_invalid_values",
    "repetition_penalty",
    "suppress_tokens",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
)
HARMLESS: Final = frozenset((*_ORIGIN, *_HEAD, *_RETURNED, *_HOW_IT_RUNS, *_TOKENS, *_GENERATION))

# With these a layer would attend to other tokens, or to another encoder.
ALWAYS_FALSE: Final = frozenset(("add_cross_attention", "is_decoder", "is_encoder_decoder"))
