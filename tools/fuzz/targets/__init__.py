"""One file a target: `inputs(random)` makes something hostile, `judge(data, folder)` gives it to the room that reads.

`judge` returns what comes out, in which a canary is looked for, and may raise `Problem`; anything else is a fault.
"""
