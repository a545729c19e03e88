"""Start a program as systemd does that has opened its ports for it: ``handover.py NAME=DESCRIPTOR ... -- PROGRAM ...``.

One decision: the protocol wants descriptors from 3 on and the program's own process number in its environment
(sd_listen_fds(3)), and both are only known in the process that becomes the program; so this is one.
"""

from __future__ import annotations

import os
import sys

FIRST = 3

if __name__ == "__main__":
    end = sys.argv.index("--")
    names, numbers = zip(*(argument.split("=") for argument in sys.argv[1:end]), strict=True)
    kept = [os.dup(int(number)) for number in numbers]  # out of the way of the numbers that are written next
    while min(kept) < FIRST + len(kept):
        kept = [os.dup(number) for number in kept]
    for place, number in enumerate(kept):
        os.dup2(number, FIRST + place, inheritable=True)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(kept)), "LISTEN_FDNAMES": ":".join(names)}
    os.execv(sys.argv[end + 1], sys.argv[end + 1 :])
