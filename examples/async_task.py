"""Coroutines as tasks: two thousand at once, a blocking call moved to a thread, and runs awaited by an async program.

    python examples/async_task.py

It ends by itself after about three seconds.
"""

import asyncio
import hashlib
import threading

from task import RunTimedOut, TaskManager, current_run, task


@task(overlap="allow", pool="pages")
async def fetch(number: int) -> str:
    """Stands for a request: it waits, and costs no thread meanwhile. The pool bounds how many wait at once."""
    await asyncio.sleep(0.2)
    return f"page {number}"


@task
async def digest(text: str) -> str:
    """What computes, or waits without `await`, would hold up all the others: it goes to a thread."""
    return await asyncio.to_thread(compute, text)


def compute(text: str) -> str:
    """The run is known in that thread, too: it tells how far it is, and ends when it is asked to."""
    run = current_run()
    value = text.encode()
    for part in range(1, 5):
        run.check_cancelled()
        value = hashlib.pbkdf2_hmac("sha256", value, b"salt", 50_000)
        run.update_progress(25 * part, f"part {part} of 4")
    return value.hex()[:8]


@task(timeout=1)
async def listen() -> None:
    """Longer than its limit: it is really stopped, and cleans up."""
    try:
        await asyncio.sleep(3600)
    finally:
        print("the connection is closed", flush=True)


async def main() -> None:
    async with TaskManager(pools={"pages": 500}):  # the tasks of this module
        pages = await asyncio.gather(*[fetch.trigger(number=number) for number in range(2000)])
        print(f"{len(pages)} pages on {threading.active_count()} threads; the last is {pages[-1]!r}")

        run = digest.trigger(text="tea")
        print(f"the digest is {await run}: {run.message}")

        print("as a plain coroutine, on the loop of this program:", await fetch(number=7))

        try:
            await listen.trigger()
        except RunTimedOut as error:
            print(error)


if __name__ == "__main__":
    asyncio.run(main())
