"""Runs clients and service in one thread, on a simulated machine that one seed decides.

Real: the SDK, the handlers of every method, the namespaces, the writer, the core, the recount.
Simulated: the event loop and its time, clocks and dice, the disk with journal and checkpoint, and
the network. Not here: sockets and gRPC itself, SQLite, and threads; other harnesses have those.

Each world has clients at work while things go wrong, then a time when nothing does, and then every
promise is checked against all that anybody was told and all that was ever on the disk: see
`faults.py` for what goes wrong, and `checks.py` for the promises.

What it finds was tried with bugs that were planted by hand, in how many worlds out of 20:
an answer before the commit 11, an entry shown before the commit 11, a read during the commit 2,
request ids forgotten at a start 6, or left out of a checkpoint 3, an entry skipped where a watch
goes from disk to memory 3, time to live by the wall clock 4, commit times that follow the clock
back 4, a full disk that keeps what was not committed 1, an SDK that takes a command which was under
way for one that was not 1; out of 25: a lock's line that is never served 9; out of 10: a commit
whose outcome is unknown called failed 1; out of 4: a refused batch that is not taken back 4.
"""
