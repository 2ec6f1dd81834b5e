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

"""The target's process: python3 target_main.py SOCKET LOCK.

Run by its path, as console_main.py is; both are descriptors: of the socket
that listens, and of the lock that tells that somebody does.

"""

import logging
import os
import socket
import sys
from pathlib import Path

_FORMAT = "%(asctime)s %(process)d %(levelname)s %(message)s"


def main(argv: list[str]) -> int:
  """Serves until no source is to be waited for."""
  from ganeti.hypervisor.hv_lxc import (  # noqa: PLC0415
    driver,
    packaged,
    partitions,
  )
  from ganeti.hypervisor.hv_lxc.migration import (  # noqa: PLC0415
    daemons,
    target,
  )

  # The package may be upgraded meanwhile.
  partitions.preload()
  packaged.preload()
  number, lock = int(argv[1]), int(argv[2])
  for descriptor in (number, lock):
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - os has it so
  listening = socket.socket(fileno=number)
  daemons.note_receiver(lock, os.getpid(), listening)
  listening.setblocking(False)  # noqa: FBT003 - socket has it so
  target.serve(driver.local_host(), partitions.Kpartx(), listening, lock)
  return 0


if __name__ == "__main__":
  logging.basicConfig(level=logging.INFO, format=_FORMAT)
  # The directory of the program itself is not where modules come from.
  sys.path[0] = str(Path(__file__).resolve().parents[4])
  sys.exit(main(sys.argv))
