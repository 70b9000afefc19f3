"""One measurement in a process of its own: ``python -m benchmarks.child MEASURE SUBJECT SECONDS`` prints JSON."""

from __future__ import annotations

import json
import logging
import os
import sys

from benchmarks import cost, foresight, ledger, punctuality, runs, web

MEASURES = {
    **punctuality.MEASURES,
    **cost.MEASURES,
    **runs.MEASURES,
    **ledger.MEASURES,
    **web.MEASURES,
    **foresight.MEASURES,
}


def main() -> None:
    measure, subject, seconds = sys.argv[1:]
    logging.disable(logging.CRITICAL)  # what a subject says of lateness is not what is measured
    print(json.dumps(MEASURES[measure](subject, int(seconds))), flush=True)
    os._exit(0)  # what still runs is of no interest


if __name__ == "__main__":
    main()
