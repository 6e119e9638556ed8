"""The names of an encoder's tensors in TensorFlow checkpoints, and why others in the file are not wanted.

The tensors of every kind are first named as google-research/bert names them, without `bert/`: the TF1 names are plain
text, the TF2 names come out of the object graph.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from bertune.checkpoints.object_graph import GRAPH_KEY, ObjectGraph, find_encoders, head_keys, optimizer_keys
from bertune.checkpoints.tensor_bundle import TensorBundle
from bertune.checkpoints.weight_files import has_weight_files
from bertune.errors import CheckpointError
from bertune.models.bert import TENSORFLOW_NAMES
from bertune.system.bounded_file import read_bounded
from bertune.system.protobuf_wire import WireError

_TABLE = "embeddings/word_embeddings"
_OPTIMIZER = "state of the optimizer"
_HEAD = "head of an earlier task or of pre-training"
_VALUE = r"/\.ATTRIBUTES/VARIABLE_VALUE"
_EXPECTED_UNUSED = (
    (re.escape(GRAPH_KEY), "the object graph, read for the names"),
    (r".*/\.OPTIMIZER_SLOT/.*", _OPTIMIZER),
    (r".*/(adam_m|adam_v|Adam|Adam_1|LAMB|LAMB_1)", _OPTIMIZER),
    (r"(beta[12]_power|loss_scale.*|good_steps)", _OPTIMIZER),
    (rf"(.*/)?save_counter({_VALUE})?", "a counter of saves"),
    (rf"(.*/)?global_step({_VALUE})?", "a counter of steps"),
    (rf"(.*/)?do_lower_case{_VALUE}", "a setting of the tokenizer"),
    (rf"(.*/)?keras_api/metrics/.*{_VALUE}", "a metric"),
    (r"(.*/)?cls/.*", _HEAD),
    (r"output_(weights|bias)", _HEAD),
    (rf"(.*/)?(masked_lm|mlm|classification_heads|next_sentence\.\.pooler_dense|out_proj)/.*{_VALUE}", _HEAD),
)


@dataclass(frozen=True)
class EncoderNames:
    """Names of an encoder's tensors in one checkpoint.

    Args:
        keys: the checkpoint's names, by the names of google-research/bert without `bert/`.
        reasons: for tensors that the graph explains, why an encoder does not want them.
    """

    keys: dict[str, str]
    reasons: dict[str, str] = field(default_factory=dict)

    def unused_reason(self, name: str) -> str | None:
        """Returns why an encoder does not want a tensor, None for a tensor nobody knows."""
        if name in self.reasons:
            return self.reasons[name]
        return next((reason for pattern, reason in _EXPECTED_UNUSED if re.fullmatch(pattern, name)), None)


def tensorflow_names(parameter: str) -> tuple[str, ...]:
    """Returns the tensors of google-research/bert, without `bert/`, that make up a parameter of `Encoder`.

    Args:
        parameter: a name from `Encoder.named_parameters()`.
    """
    return TENSORFLOW_NAMES.stored_names(parameter)


def encoder_names(bundle: TensorBundle) -> EncoderNames:
    """Finds the encoder in a checkpoint, whatever wrote it.

    Raises:
        CheckpointError: there is none, there are several, or it is of another architecture.
    """
    if GRAPH_KEY in bundle.tensors:
        return _from_graph(bundle)
    return _from_tf1(bundle)


def _from_tf1(bundle: TensorBundle) -> EncoderNames:
    path = bundle.prefix
    prefixes = [name.removesuffix(_TABLE) for name in bundle.tensors if name.endswith(_TABLE)]
    prefixes = [prefix for prefix in prefixes if prefix in ("", "bert/") or prefix.endswith("/bert/")]
    if not prefixes:
        raise CheckpointError(
            f"{path}: no BERT encoder in this checkpoint: it lacks bert/{_TABLE} (found {_some(bundle.tensors)})",
            hint="bertune reads the checkpoints of google-research/bert and of the TensorFlow Model Garden",
        )
    if len(prefixes) > 1:
        raise CheckpointError(f"{path}: holds {len(prefixes)} encoders ({', '.join(prefixes[:3])}), expected one")
    (prefix,) = prefixes
    wanted = re.compile(r"(embeddings|encoder/layer_\d+|pooler)/.*")
    inside = {name.removeprefix(prefix): name for name in bundle.tensors if name.startswith(prefix)}
    return EncoderNames({short: name for short, name in inside.items() if wanted.fullmatch(short)})


def _from_graph(bundle: TensorBundle) -> EncoderNames:
    path = bundle.prefix
    try:
        (content,) = bundle.read_strings(GRAPH_KEY)
        graph = ObjectGraph(content)
        encoders = find_encoders(graph)
    except (WireError, ValueError) as error:
        raise CheckpointError(f"{path}: the object graph is damaged ({error})") from error
    if not encoders:
        raise CheckpointError(
            f"{path}: no BERT encoder in this checkpoint: nothing in its object graph is a transformer layer "
            f"(found {_some(bundle.tensors)})",
            hint="bertune reads the BERT encoders of the TensorFlow Model Garden",
        )
    if len(encoders) > 1:
        raise CheckpointError(f"{path}: holds {len(encoders)} encoders, expected one")
    (encoder,) = encoders
    if encoder.has_projection:
        raise CheckpointError(
            f"{path}: its embeddings pass through a projection, as in ALBERT; this encoder is BERT only",
            hint="take a BERT encoder",
        )
    absent = [key for key in encoder.keys.values() if key not in bundle.tensors]
    if absent:
        raise CheckpointError(f"{path}: the object graph names tensors that are not there ({_some(absent)})")
    optimizer = dict.fromkeys(optimizer_keys(graph, encoder), _OPTIMIZER)
    reasons = optimizer | dict.fromkeys(head_keys(graph, encoder), _HEAD)
    return EncoderNames(encoder.keys, reasons)


def _some(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:3]) or "none"
    return shown + (", …" if len(names) > 3 else "")


def find_prefix(path: Path) -> Path | None:
    """Finds the TensorFlow checkpoint that a path means.

    Args:
        path: a prefix such as `…/bert_model.ckpt`, its `.index`, a data file or the `.meta` beside them, a folder that
            holds one, or the folder of a SavedModel.

    Returns:
        The path without `.index`; None where there is no such checkpoint.

    Raises:
        CheckpointError: a folder holds several and its file `checkpoint` does not say which is meant.
    """
    if path.is_dir():
        return _prefix_in(path)
    if path.with_name(path.name + ".index").is_file():
        return path
    match = re.fullmatch(r"(.+)\.(index|meta|data-\d{5}-of-\d{5})", path.name)
    return path.with_name(match[1]) if match else None


def _prefix_in(folder: Path) -> Path | None:
    if has_weight_files(folder):
        return None
    variables = folder / "variables" / "variables"
    if (folder / "saved_model.pb").is_file() or variables.with_name("variables.index").is_file():
        return variables
    found = sorted(file.name.removesuffix(".index") for file in folder.glob("*.index"))
    if len(found) <= 1:
        return folder / found[0] if found else None
    latest = _latest(folder / "checkpoint")
    if latest in found:
        return folder / latest
    raise CheckpointError(
        f"{folder}: holds {len(found)} checkpoints ({_some(found)})", hint=f"name one of them: {folder / found[-1]}"
    )


def _latest(state: Path) -> str:
    """Returns the name that TensorFlow's own file calls the latest checkpoint."""
    if not state.is_file():
        return ""
    text = read_bounded(state, 1_000_000).decode(errors="replace")
    match = re.search(r'^model_checkpoint_path: "([^"\n]+)"', text, re.MULTILINE)
    return match[1].rpartition("/")[2] if match else ""
