"""Hostile folders of models and runs: whatever their files name, nothing of it is imported, called or connected to."""

import json
import os
import pickle
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

from tests.faults.isolated import outcomes_of
from tests.faults.model_readers import _encoder
from tests.faults.run_readers import a_run, an_interrupted_run
from tests.faults.sections import Part, Settings, part

from bertune.api.fine_tuned_model import load
from bertune.cli.inspect_model import inspect_model
from bertune.errors import BertuneError
from bertune.reports.run_report import write_report
from bertune.tokenization.read_tokenizer import read_tokenizer
from bertune.training.interrupted_run import find_interrupted

_FORBIDDEN = (
    *(
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.fork",
        "os.forkpty",
        "subprocess.Popen",
        "os.startfile",
    ),
    *("pickle.find_class", "socket.connect", "socket.getaddrinfo", "ctypes.dlopen", "pty.spawn"),
    *("urllib.Request", "webbrowser.open", "shutil.unpack_archive", "code.__new__", "function.__new__"),
)
_MARK = "it-ran"
_PROGRAM = f"import pathlib\npathlib.Path({_MARK!r}).touch()\n"
_NAMES = (
    "modeling_x",
    "tokenization_x",
    "configuration_x",
    "torch",
    "bertune",
    "sitecustomize",
    "safetensors",
    "__init__",
)


class _Call:
    """Becomes, in a pickle, a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


_CALLS = {
    "os.system": _Call(os.system, f"touch {_MARK}"),
    "exec": _Call(exec, _PROGRAM),
    "eval": _Call(eval, f"open({_MARK!r}, 'w')"),
    "import": _Call(__import__, "modeling_x"),
    "open": _Call(open, _MARK, "w"),
}


def code(settings: Settings) -> Iterator[Part]:
    """Reads each folder by everything that reads such folders, with Python's own events watched."""
    del settings
    with tempfile.TemporaryDirectory(prefix="bertune-faults-") as name:
        folders = _folders(Path(name))
        found = outcomes_of(len(folders), lambda number: _attempt(folders[number]), before=_watch, limits=False)
        faults = [f"{folders[each.number].name}: {each.ended}" for each in found if each.ended != "nothing ran"]
    yield "hostile folders", part(len(found), faults, measured="no import, no call, no connection, no process")


_events: list[str] = []


def _watch() -> None:
    """Begins to note what Python is asked to do; what reading sound folders needs is loaded before."""
    with tempfile.TemporaryDirectory() as name:
        _encoder(Path(name))
        _read_all(Path(name))
        _read_all(a_run())
    sys.addaudithook(_note)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "import":
        # Not the libraries' own modules that are loaded when they are first needed.
        if str(arguments[0]).partition(".")[0] in _NAMES[:3]:
            _events.append(f"import {arguments[0]}")
    elif event.startswith(_FORBIDDEN):
        _events.append(f"{event} {arguments!r:.80}")
    elif event == "exec" and "bertune-faults-" in str(getattr(arguments[0], "co_filename", "")):
        _events.append(f"exec {arguments[0]}")


def _attempt(folder: Path) -> str:
    _events.clear()
    said = ""
    with chdir(folder):
        sys.path.insert(0, "")  # as `python -m bertune` begins in such a folder
        try:
            said = _read_all(folder)
        finally:
            sys.path.remove("")
    ran = [str(path) for path in folder.rglob(_MARK)]
    return "; ".join([*_events, *ran, said][:3]).strip("; ") or "nothing ran"


def _read_all(folder: Path) -> str:
    """Reads a folder in every way; what is refused must be refused with an error of bertune's."""
    readers: list[Callable[[Path], object]] = [
        lambda path: inspect_model(str(path), quiet=True),
        read_tokenizer,
        load,
        lambda path: find_interrupted(path, lambda _: None),
    ]
    if (folder / "run.toml").is_file():
        readers.append(write_report)
    for read in readers:
        try:
            read(folder)
        except BertuneError:
            continue
        except Exception as error:
            return f"untyped: {type(error).__name__} {error!s:.100}"
    return ""


def _folders(parent: Path) -> list[Path]:
    """Makes the folders: encoders, fine-tuned models and runs that name code in every place that can name some."""
    made: list[Path] = []

    def new(name: str, source: Path | None = None) -> Path:
        folder = parent / name
        if source is None:
            _encoder(folder)
        else:
            shutil.copytree(source, folder)
        for module in _NAMES:  # what a folder names is there
            (folder / f"{module}.py").write_text(_PROGRAM)
        made.append(folder)
        return folder

    for name, values in _CONFIGS.items():
        _change(new(f"config {name}") / "config.json", values)
    for name, values in _TOKENIZERS.items():
        _change(new(f"tokenizer {name}") / "tokenizer_config.json", values)
    for kind, call in _CALLS.items():
        for protocol in (0, 2, 4):
            folder = new(f"pickle {kind} {protocol}")
            (folder / "model.safetensors").unlink()
            (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": call}, protocol=protocol))
        folder = new(f"pickle {kind} in a zip")
        (folder / "model.safetensors").unlink()
        with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as packed:
            packed.writestr("archive/data.pkl", pickle.dumps({"a": call}, protocol=2))
            packed.writestr("archive/version", "3\n")
        folder = new(f"pickle {kind} as safetensors")
        (folder / "model.safetensors").write_bytes(pickle.dumps(call, protocol=2))
    for name, values in _SIGNATURES.items():
        _change(new(f"model {name}", a_run() / "model") / "bertune.json", values)
    for name, text in _RUNS.items():
        for kind, source in (("run", a_run()), ("interrupted run", an_interrupted_run())):
            folder = new(f"{kind} {name}", source)
            (folder / "run.toml").write_text(text + (folder / "run.toml").read_text())
            (folder / "README.md").write_text("---\na: !!python/object/apply:os.system ['touch it-ran']\n---\n")
    return made


def _change(path: Path, values: dict[str, Any]) -> None:
    found = json.loads(path.read_bytes())
    path.write_text(json.dumps(found | values))


_CONFIGS: dict[str, dict[str, Any]] = {
    "auto_map": {"auto_map": {"AutoModel": "modeling_x.Model", "AutoConfig": "configuration_x.Config"}},
    "auto_map of another": {"auto_map": {"AutoModel": "evil/repository--modeling_x.Model"}},
    "trust_remote_code": {"trust_remote_code": True, "auto_map": {"AutoModel": "modeling_x.Model"}},
    "model_type": {"model_type": "os.system"},
    "model_type of a module": {"model_type": "modeling_x"},
    "architectures": {"architectures": ["modeling_x.Model", "os.system"]},
    "attention": {"_attn_implementation_internal": "evil/kernels", "_attn_implementation": "evil/kernels:run"},
    "activation": {"hidden_act": "os.system"},
    "activation with a call": {"hidden_act": "__import__('modeling_x')"},
    "quantization": {"quantization_config": {"quant_method": "modeling_x", "modules": ["os"]}},
    "pipelines": {"custom_pipelines": {"x": {"impl": "modeling_x.Model", "pt": ["AutoModel"]}}},
    "class": {"__class__": "os.system", "__reduce__": ["os.system", ["touch it-ran"]]},
    "target": {"_target_": "os.system", "_args_": ["touch it-ran"]},
    "name or path": {"_name_or_path": "http://127.0.0.1:9/evil", "name_or_path": "http://127.0.0.1:9/evil"},
    "adapter": {"adapter": {"base_model_name_or_path": "http://127.0.0.1:9/evil"}, "peft_type": "LORA"},
}
_TOKENIZERS: dict[str, dict[str, Any]] = {
    "class": {"tokenizer_class": "modeling_x.Tokenizer"},
    "auto_map": {"auto_map": {"AutoTokenizer": ["tokenization_x.Tokenizer", None]}},
    "chat template": {"chat_template": "{{ cycler.__init__.__globals__.os.system('touch it-ran') }}"},
    "backend": {"backend": "modeling_x", "processor_class": "os.system"},
    "added tokens": {"added_tokens_decoder": {"0": {"__type": "os.system", "content": "[PAD]"}}},
    "tokenizer file": {"tokenizer_file": "/dev/zero", "vocab_file": "http://127.0.0.1:9/vocab.txt"},
}
_SIGNATURES: dict[str, dict[str, Any]] = {
    "kind": {"kind": "os.system"},
    "label": {"labels": ["__import__('modeling_x')", "os.system"]},
    "more": {"__class__": "modeling_x.Model"},
}
_RUNS = {
    "names": '["modeling_x"]\nx = "os.system"\n',
    "callback": '[callback]\n_target_ = "modeling_x.Callback"\n',
}
