"""Files are written in one way: beside their place, flushed, renamed, and their folder flushed.

`system/atomic.py` and `system/committed_folder.py` are that way. Every other module that opens a file to write, or lets
a library do so, is listed here, with the reason why what it writes is on disk by the time that it has its name.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import bertune

SOURCE = Path(bertune.__file__).parent
INSIDE = "fills what `replaced_file` or `replaced_folder` gave its caller, who flushes all of it"
PARTS = "a part under another name, flushed by `put_file_in_place` when it is whole"
APPENDED = "grows line by line; flushed where a checkpoint marks its place, and when it is closed"
PUSHED = "a folder that is uploaded and gone, or one to look at, made again by the same command"
BETWEEN = "passes between a process and the fresh one that it waits for"
SHARED = "passes to workers, in a folder that lasts as long as they do"
WRITERS = {
    "system/atomic.py": "the one way",
    "system/committed_folder.py": "the one way, with digests",
    "system/folder_lock.py": "a lock: an empty file, and nothing is lost with it",
    "api/estimators.py": "a folder for temporary files",
    "api/hub_push.py": PUSHED,
    "api/proved_folder.py": PUSHED,
    "checkpoints/bundle_writer.py": INSIDE,
    "checkpoints/mapped_model.py": SHARED,
    "checkpoints/model_digests.py": INSIDE,
    "checkpoints/model_folder.py": INSIDE,
    "cli/app.py": "the null device",
    "evaluation/prediction_files.py": INSIDE,
    "experiments/seed_process.py": "a pipe",
    "exports/": INSIDE,
    "fetch/archive.py": "a folder for what is unpacked, moved into one of `replaced_folder`",
    "fetch/download.py": PARTS,
    "fetch/model_cache.py": INSIDE,
    "kernels/build.py": INSIDE,
    "plots/figure.py": "a picture in memory",
    "runtime/mapped_export.py": SHARED,
    "runtime/onnx_answers.py": BETWEEN,
    "runtime/padded_rows.py": BETWEEN,
    "runtime/stored_rows.py": INSIDE,
    "serving/served_by_workers.py": SHARED,
    "shards/shard_file.py": PARTS,
    "shards/store_writer.py": PARTS,
    "training/event_file.py": APPENDED,
    "training/journal.py": APPENDED,
    "training/run_rows.py": INSIDE,
    "system/fresh_process.py": "a pipe",
    # Whole folders that change their names: what is in them was flushed, and the folder around them is.
    "training/run_directory.py": "runs that step aside and come back",
    "training/checkpoint_names.py": "a checkpoint that is being deleted",
}
OPENS = ("open", "fdopen")
WRITES = {
    *("write_text", "write_bytes", "touch", "save_file", "savez", "savez_compressed", "tofile", "truncate"),
    *("write_table", "write_feather", "copyfile", "copytree", "copy2", "move", "savefig", "mkstemp", "extractall"),
    *("symlink_to", "hardlink_to", "renames"),
}


def written_in(tree: ast.AST) -> Iterator[str]:
    """Yields the calls that write a file, but for those that fill a `temporary` one or are the one way itself."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in OPENS:
            # The mode may be chosen between two.
            found = [word for part in (*call.args, *call.keywords) for word in ast.walk(part)]
            modes = {word.value for word in found if isinstance(word, ast.Constant) and isinstance(word.value, str)}
            flags = {word.attr for word in found if isinstance(word, ast.Attribute)}
            writes = any(len(mode) <= 3 and set(mode) & set("wax+") for mode in modes) or flags & {"O_WRONLY", "O_RDWR"}
        elif name in ("rename", "replace"):
            # Of paths; that of texts and of dataclasses has two arguments, or names them.
            writes = isinstance(call.func, ast.Attribute) and len(call.args) == 1 and not call.keywords
        elif name == "write_table":
            writes = ast.unparse(call.func).startswith("pyarrow")
        elif name == "save":
            writes = isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in ("np", "numpy", "torch")
        else:
            writes = name in WRITES and isinstance(call.func, ast.Attribute | ast.Name)
        is_the_way = isinstance(call.func, ast.Name) and name in ("write_text", "write_bytes")
        if writes and not is_the_way and "temporary" not in ast.unparse(call):
            yield f"line {call.lineno}: {ast.unparse(call)[:100]}"


def modules() -> dict[str, list[str]]:
    found = {
        str(path.relative_to(SOURCE)): list(written_in(ast.parse(path.read_text("utf-8"))))
        for path in sorted(SOURCE.rglob("*.py"))
    }
    return {name: calls for name, calls in found.items() if calls}


def test_no_module_writes_files_in_a_way_of_its_own() -> None:
    found = modules()
    others = {name: calls for name, calls in found.items() if not any(map(name.startswith, WRITERS))}
    assert others == {}, "write by bertune.system.atomic, or say in WRITERS why this is on disk"
    gone = [known for known in WRITERS if not any(name.startswith(known) for name in found)]
    assert gone == [], "these write nothing any more"


@pytest.mark.parametrize(
    "code",
    [
        "Path(name).open('w')",
        "open(name, mode='ab')",
        "path.open('r+b' if start else 'wb')",
        "os.open(name, os.O_WRONLY | os.O_CREAT)",
        "path.write_text('x')",
        "save_file(tensors, path)",
        "np.save(path, array)",
        "pyarrow.parquet.write_table(table, path)",
        "shutil.copyfile(one, other)",
        "path.replace(target)",
    ],
)
def test_a_call_that_writes_is_seen(code: str) -> None:
    assert len(list(written_in(ast.parse(code)))) == 1


@pytest.mark.parametrize(
    "code", ["path.open('rb')", "write_text(path, 'x')", "text.replace('a', 'b')", "replace(settings, out=path)"]
)
def test_a_call_that_does_not_is_none(code: str) -> None:
    assert list(written_in(ast.parse(code))) == []
