"""One task, twice: on a cluster of Dask, and in a process of its own. Only ``executor=`` differs.

    python examples/cluster.py

The cluster is a local one here, with two workers; `Client("tcp://...")` reaches a real one. It needs the extra
``dask`` (pip install 'schedule-tasks[dask]'), and ends by itself.

Other processes import this file, too: what it does is under ``if __name__ == "__main__"``.
"""

import os
import threading

from task import TaskManager, current_run


def estimate_pi(steps):
    """The sum of a series that goes to pi; it tells how far it is, and ends when it is asked to."""
    run = current_run()
    total = 0.0
    for part in range(10):
        run.check_cancelled()
        for k in range(part * steps // 10, (part + 1) * steps // 10):
            total += (-1) ** k * 4 / (2 * k + 1)
        run.update_progress(10 * (part + 1), f"{part + 1} of 10 parts")
    return round(total, 5)


def follow(run, where):
    """Print how far a run is, until it has ended, and what came of it."""
    told = None
    while not run.wait(0.05):
        if run.message and run.message != told:
            told = run.message
            print(f"{where}: {run.progress:.0f} % ({told})", flush=True)
    print(f"{where}: {run.result()}, computed by process {run.process}; this is {os.getpid()}", flush=True)


def main():
    from distributed import Client, LocalCluster

    with (
        LocalCluster(processes=True, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        manager = TaskManager([])
        on_cluster = manager.task(
            name="pi on the cluster",
            parameters={"steps": 5_000_000},
            executor=client.get_executor(pure=False),
        )(estimate_pi)
        in_process = manager.task(
            name="pi in a process",
            parameters={"steps": 5_000_000},
            executor="process",
        )(estimate_pi)

        with manager:
            threads = [
                threading.Thread(target=follow, args=(on_cluster.trigger(), "cluster")),
                threading.Thread(target=follow, args=(in_process.trigger(), "process")),
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


if __name__ == "__main__":
    main()
