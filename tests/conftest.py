"""How all tests run: one thread per process, and as many random examples as there is time for.

`HYPOTHESIS_PROFILE=extended` tries four times as many, as `make test` does.
"""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# A shell ignores Ctrl-C for what it runs in the background, and so would every process that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Workers share the cores, and threads that wait for tiny products spin. Read when a worker loads numpy.
for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(library, "1")

# No deadline: the machine may be busy with something else.
settings.register_profile("fast", max_examples=50, deadline=None)
settings.register_profile("extended", max_examples=200, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
