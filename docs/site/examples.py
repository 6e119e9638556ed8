"""Lets griffe read `Example:` as what Google's style calls `Examples:`, with prompts and results as code."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Rewrites the heading in each docstring as it is collected."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for each object that it has read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
