#
#

# Copyright (C) 2026 the Ganeti project
# All rights reserved.
#
# Redistribution and use in source and binary forms, with or without
# modification, are permitted provided that the following conditions are
# met:
#
# 1. Redistributions of source code must retain the above copyright notice,
# this list of conditions and the following disclaimer.
#
# 2. Redistributions in binary form must reproduce the above copyright
# notice, this list of conditions and the following disclaimer in the
# documentation and/or other materials provided with the distribution.
#
# THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS
# IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED
# TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR
# PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR
# CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL,
# EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO,
# PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR
# PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF
# LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING
# NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS
# SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.

"""A guest's network, as seen by a program or a thread of this process.

For the latter none is started: a thread has a network namespace of its own from
setns(2) until it ends, and sockets stay in the one they were made in.

"""

import ctypes
import errno
import logging
import os
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ..errors import LxcError, one_line
from ..host import Host, write_file

# Names that may stand in a line for ip(8): a guest chooses them.
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")

_log = logging.getLogger(__name__)

_TIMEOUT_S = 20.0
_CLONE_NEWNET = 0x40000000
# That of the process's first thread, whatever the others have entered.
_OWN = Path("/proc/self/ns/net")
_T = TypeVar("_T")


def inside(host: Host, init: int, act: Callable[[], _T]) -> _T:
  """What a function returns that sees the network of the guest.

  So are /proc/sys/net and /proc/thread-self/net.

  @param init: the guest's process 1
  @raise OSError: it cannot be entered; what the function raises is raised, too

  """
  results: list[_T] = []
  errors: list[BaseException] = []

  def run() -> None:
    try:
      enter(host, init)
      results.append(act())
    except BaseException as err:  # noqa: BLE001
      errors.append(err)

  thread = threading.Thread(target=run, daemon=True)
  thread.start()
  thread.join()
  if errors:
    raise errors[0]
  return results[0]


def nsenter(host: Host, init: int) -> list[str]:
  """Begins the command line of a program that sees the guest's network."""
  return ["nsenter", f"--net={host.proc}/{init}/ns/net"]


def ip_batch(
  host: Host, name: str, init: int, file: Path, lines: Sequence[str]
) -> None:
  """Has ip(8) carry out each line, in the guest's network.

  That one does not work is logged, and no reason to fail.

  @param name: the instance's, for the log
  @param file: for the lines; it is removed
  @param lines: commands without "ip"

  """
  if not lines:
    return
  argv = [*nsenter(host, init), "ip", "-force", "-batch", str(file)]
  try:
    write_file(file, "".join(f"{line}\n" for line in lines))
    done = host.run(argv, timeout_s=_TIMEOUT_S)
    if done.failed:
      _log.warning("Instance %s: %s", name, done.evidence())
  except (LxcError, OSError) as err:
    _log.warning("Instance %s: %s", name, one_line(repr(err)))
  finally:
    file.unlink(missing_ok=True)


def enter(host: Host, init: int) -> None:
  """Has the calling thread see the guest's network for good.

  It is not this process's own: the number of a guest that has ended may be
  that of another process by now.

  @raise OSError: it cannot be entered

  """
  libc = ctypes.CDLL(None, use_errno=True)
  fd = os.open(host.proc / f"{init}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
  try:
    if os.path.samestat(os.fstat(fd), _OWN.stat()):
      raise OSError(errno.EBUSY, "the network is not the guest's", str(init))
    if libc.setns(ctypes.c_int(fd), ctypes.c_int(_CLONE_NEWNET)):
      number = ctypes.get_errno()
      raise OSError(number, os.strerror(number))
  finally:
    os.close(fd)
