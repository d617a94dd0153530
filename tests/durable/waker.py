"""An instance of webhooks: knows Durable only as a client, and wakes a cluster so many times a second.

`python -m tests.durable.waker DOOR RATE`; the door is that of a client-only host of the extension. A line on stdin
names the cluster from now on, an empty one none.
"""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.request

import azure.durable_functions as df

from functions import host, wake


async def bring(client: df.DurableOrchestrationClient, rate: float) -> None:
    """Until stdin ends."""
    await host.engine().services.store.get("none")  # what first use costs is over, as behind the first webhook
    await client.get_status("none")
    print("ready", flush=True)
    told = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    cluster, wakes = "", set()
    began, number = time.monotonic(), 0
    while True:
        number += 1
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        if told.done():
            if not told.result():
                return
            cluster = told.result().strip()
            told = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        if cluster:
            wake_ = asyncio.create_task(wake.wake_news(client, [cluster]))
            wakes.add(wake_)
            wake_.add_done_callback(wakes.discard)


if __name__ == "__main__":
    with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
        binding = answer.read().decode()
    asyncio.run(bring(df.DurableOrchestrationClient(binding), float(sys.argv[2])))
