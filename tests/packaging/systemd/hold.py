"""Holds one thread of a process, as a debugger does, while all others go on: hold.py PID THREAD-NAME. It lets go when it ends."""

import ctypes
import os
import sys

PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000
pid, name = int(sys.argv[1]), sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)
for task in map(int, os.listdir(f"/proc/{pid}/task")):
    with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as comm:
        if comm.read().strip() != name:
            continue
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(request, task, None, None) != 0:
            sys.exit(os.strerror(ctypes.get_errno()))
    os.waitpid(task, WALL)
    # Until its process is killed: a thread is gone only when who holds it has seen that.
    os.waitpid(task, WALL)
    sys.exit()
sys.exit(f"no thread {name}")
