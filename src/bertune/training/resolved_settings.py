"""The settings of a run as `run.toml` holds them."""

from dataclasses import asdict

from bertune.nn.precision import choose_precision, name_of
from bertune.training.named_paths import Settings
from bertune.training.prepare import PreparedRun


def resolved_settings(run: PreparedRun) -> Settings:
    """Returns every setting under its flag's name, as `run.toml` holds them; unset and empty ones are left out.

    What was chosen for the user is written out, paths stay as they were given, and `overwrite` is left out: to repeat a
    run must not replace it.
    """
    settings = run.settings
    device = run.classifier.device
    merged = asdict(settings) | asdict(run.config) | ({} if run.checkpoints is None else run.checkpoints.changed())
    del merged["reasons"], merged["limit"]  # not settings: what was chosen is, and the limit is of a fold's study
    merged |= {
        "out": str(settings.out),
        "metric": run.signature.metrics[0] if run.validation is not None else None,
        "precision": name_of(choose_precision(run.config.precision, device)),
        "device": device.type,
        "overwrite": None,
        # Left out where it is not set, as sweeps and studies from before it was there have it.
        "skip_probe": settings.skip_probe or None,
        "keep_head": settings.keep_head or None,
        "keep_adapter": settings.keep_adapter or None,
        **({} if run.teaching is None else vars(run.teaching.distillation)),
    }
    # An empty list in TOML would come back as a list with an empty list in it.
    return {
        name.replace("_", "-"): list(value) if isinstance(value, tuple) else value
        for name, value in merged.items()
        if value is not None and value != ()
    }
