"""The engine: all that Flux does, with nothing of Azure Functions in it."""
