"""Runs a program under what systemd makes of SystemCallFilter=, RestrictAddressFamilies= and MemoryDenyWriteExecute=.

sandbox.py --families="AF_INET ..." --calls="read write ..." -- PROGRAM [ARG...]
"""
import argparse
import errno
import mmap
import os
import socket

import seccomp

parser = argparse.ArgumentParser()
parser.add_argument("--families", required=True)
parser.add_argument("--calls", required=True)
parser.add_argument("program", nargs="+")
args = parser.parse_args()

deny = seccomp.ERRNO(errno.EPERM)
calls = seccomp.SyscallFilter(deny)
for name in args.calls.split():
    try:
        calls.add_rule(seccomp.ALLOW, name)
    except (RuntimeError, OSError):
        pass  # of another architecture, or newer than the library

# Filters add up: what one of them denies is denied.
families = seccomp.SyscallFilter(seccomp.ALLOW)
allowed = {getattr(socket, name) for name in args.families.split()}
for family in range(64):
    if family not in allowed:
        families.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), "socket", seccomp.Arg(0, seccomp.EQ, family))

memory = seccomp.SyscallFilter(seccomp.ALLOW)
both = mmap.PROT_WRITE | mmap.PROT_EXEC
memory.add_rule(deny, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, both, both))
for name in "mprotect", "pkey_mprotect":
    memory.add_rule(deny, name, seccomp.Arg(2, seccomp.MASKED_EQ, mmap.PROT_EXEC, mmap.PROT_EXEC))

for f in memory, families, calls:
    f.load()
os.execvp(args.program[0], args.program)
