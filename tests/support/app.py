"""The app as Functions indexes it: once per process, since its functions can be asked for only once."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def bindings() -> tuple[tuple[str, dict[str, Any]], ...]:
    """Every binding of every function, with the name of the function."""
    os.environ.setdefault("FLUXLESS_TASK_HUB", "hub")
    import function_app

    return tuple(
        (function.get_function_name(), binding)
        for function in function_app.app.get_functions()
        for binding in json.loads(function.get_function_json())["bindings"]
    )


def routes() -> dict[str, str]:
    """The level of authentication by route."""
    return {
        binding["route"]: str(binding["authLevel"]).upper()
        for _, binding in bindings()
        if binding["type"] == "httpTrigger"
    }
