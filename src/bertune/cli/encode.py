"""`bertune encode`."""

from typing import Annotated

from cyclopts import Parameter

from bertune.cli.encode_settings import EncodeSettings


def encode(
    settings: Annotated[EncodeSettings, Parameter(name="*")],
    *,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Encode a data set of any size once, into shards that training reads at once.

    Memory does not grow with the data. Finished shards are kept when the command is run again.

    Args:
        settings: what to read and write.
        json: print one JSON document with the manifest of each split.
        quiet: print nothing but the result and errors.
    """
    from bertune.cli.encoding_splits import encode_splits
    from bertune.cli.terminal import keep_quiet, say, show, show_json

    done = encode_splits(settings, say=keep_quiet if quiet else say, quiet=quiet)
    if json:
        show_json({name: {"folder": str(folder), **manifest.to_dict()} for name, (folder, manifest) in done.items()})
    else:
        show(f"{name}: {manifest.summary()} in {folder}" for name, (folder, manifest) in done.items())
