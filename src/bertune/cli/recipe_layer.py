"""The settings of `--recipe`, below flags, environment variables and the configuration file."""

from typing import get_args

from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict

from bertune.training.recipe import RecipeName, recipe_settings


def recipe_layer(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Adds the settings of the recipe that any layer above names; settings that are there already stay.

    Args:
        app: of the verb.
        commands: the verb.
        arguments: filled by the layers above.
    """
    if commands != ("train",):
        return
    for name in get_args(RecipeName):
        if [token.value for token in arguments.get("--recipe").tokens] == [name]:
            Dict({"train": recipe_settings(name)}, source=f"recipe {name}")(app, commands, arguments)
