"""The app on Microsoft's own Durable extension, beside our engine: one list of scenarios, and what breaks under it."""
