"""A local host for Python v2 function apps: HTTP, timers, queues and Durable orchestrations, without Azure.

It loads the app as it is and speaks the Durable extension's own JSON protocol, with the history in SQLite. It knows
nothing of any app. `python -m tools.localhost APP --port 7071 --state FOLDER`; docs/localhost.md tells more.
"""
