"""The function app: loaded as Azure's worker loads it, and invoked through the SDK's own converters."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import importlib
import inspect
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

TIMES = 100_000
"""Invocations of each function whose time is remembered: for measurements."""


class App:
    """The functions of an app by name. `client` gives the value of durable client bindings."""

    def __init__(self, functions: dict[str, Any], timeout: float) -> None:
        self.functions = functions
        self.client: Callable[[], str] = lambda: "{}"
        self._timeout = timeout
        self.times: defaultdict[str, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=TIMES))
        """When the last invocations began, on a clock of this process, and their seconds, by function."""

    @classmethod
    def load(cls, folder: Path, timeout: float) -> App:
        """Import `function_app.py` from the folder and take its only app. Raises RuntimeError when there is none."""
        from azure.functions.decorators.function_app import FunctionRegister

        sys.path.insert(0, str(folder))
        module = importlib.import_module("function_app")
        apps = [value for value in vars(module).values() if isinstance(value, FunctionRegister)]
        if len(apps) != 1:
            raise RuntimeError(f"function_app.py must define one app, not {len(apps)}")
        return cls({str(function.get_function_name()): function for function in apps[0].get_functions()}, timeout)

    def of_type(self, *types: str) -> dict[str, Any]:
        """The functions whose trigger is of one of these types."""
        return {name: f for name, f in self.functions.items() if f.get_trigger().type in types}

    def find(self, name: str) -> Any | None:
        """A function by its name; the extension does not mind the case."""
        if name in self.functions:
            return self.functions[name]
        return next((f for known, f in self.functions.items() if known.lower() == name.lower()), None)

    async def call(self, function: Any, argument: Any, threads: ThreadPoolExecutor | None = None) -> Any:
        """Invoke with the value of its trigger, within the app's function timeout. Raises what the function raises.

        Functions that are no coroutines run in `threads`, or in the event loop's own.
        """
        arguments = {function.get_trigger().name: argument}
        for binding in function.get_bindings():
            if binding.type == "durableClient":
                arguments[binding.name] = self.client()
        user, began = function.get_user_function(), time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                if inspect.iscoroutinefunction(user):
                    return await user(**arguments)
                work = functools.partial(contextvars.copy_context().run, user, **arguments)
                return await asyncio.get_running_loop().run_in_executor(threads, work)
        finally:
            self.times[function.get_function_name()].append((began, time.perf_counter() - began))
