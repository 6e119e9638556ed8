"""What several workers serve: models checked and proved once, in files that all workers map."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bertune.evaluation.predictor import Predictor
from bertune.runtime.export_files import is_export
from bertune.runtime.mapped_export import lay_out_export, load_mapped_export
from bertune.serving.open_model import PADDED_BOUNDS, Computing, refuse_computing
from bertune.serving.served_model import ModelSource
from bertune.system.fresh_process import call_in_fresh_process
from bertune.system.json_file import JsonObject


@dataclass(frozen=True, kw_only=True)
class MappedModel:
    """A model that is laid out.

    Args:
        name: by which it is asked for.
        folder: of the model or export, as it was given.
        run: the folder of its run, where it is part of one.
        mapped: the folder that workers read, whatever becomes of the other.
        is_export: whether ONNX Runtime computes it.
    """

    name: str
    folder: str
    run: str | None
    mapped: str
    is_export: bool


def map_models(folders: dict[str, Path], computing: Computing, out: Path) -> list[MappedModel]:
    """Lays models out, in a process of its own: neither torch nor weights stay in this one.

    Args:
        folders: what is served by its names.
        computing: how runs and models do.
        out: a folder for this process and those that it starts alone.

    Raises:
        BertuneError: see `open_model`; or there is no room.
    """
    for folder in folders.values():
        if is_export(folder):
            refuse_computing(folder, computing)
    told = call_in_fresh_process(
        f"{__name__}:lay_out_all",
        {
            "folders": {name: str(folder) for name, folder in folders.items()},
            "computing": asdict(computing),
            "out": str(out),
        },
    )
    return [MappedModel(**values) for values in told["models"]]


def lay_out_all(
    *, folders: dict[str, str], computing: JsonObject, out: str, on_rows: Callable[[int], None]
) -> JsonObject:
    """Does the work of `map_models`; see there."""
    how = Computing(**computing)
    models = []
    for place, (name, given) in enumerate(folders.items()):
        folder, mapped = Path(given), Path(out) / str(place)
        if is_export(folder):
            lay_out_export(folder, mapped)
            model = MappedModel(name=name, folder=given, run=None, mapped=str(mapped), is_export=True)
        else:
            from bertune.serving.fine_tuned_source import lay_out_fine_tuned

            found, run = lay_out_fine_tuned(folder, mapped, how.precision, how.device)
            shown = None if run is None else str(run)
            model = MappedModel(name=name, folder=str(found), run=shown, mapped=str(mapped), is_export=False)
        models.append(asdict(model))
        on_rows(0)
    return {"models": models}


def open_mapped(model: MappedModel, computing: Computing) -> ModelSource:
    """Reads a model that is laid out; see `open_model`."""
    if not model.is_export:
        from bertune.serving.fine_tuned_source import open_mapped_model

        run = None if model.run is None else Path(model.run)
        mapped = Path(model.mapped)
        return open_mapped_model(model.name, Path(model.folder), run, mapped, computing.precision, computing.device)
    export = load_mapped_export(Path(model.mapped))

    @contextmanager
    def opened() -> Iterator[Predictor]:
        yield export

    return ModelSource(
        name=model.name,
        folder=Path(model.folder),
        run=None,
        signature=export.signature,
        tokenizer=export.tokenizer,
        opened=opened,
        bounds=PADDED_BOUNDS,
    )
