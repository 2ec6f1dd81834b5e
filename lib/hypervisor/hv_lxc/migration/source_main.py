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

"""The source's process: python3 source_main.py NAME LOCK [settle].

Run by its path, as console_main.py is; LOCK is the descriptor of the worker
lock, which this process holds until it ends.

"""

import logging
import os
import sys
from pathlib import Path

_FORMAT = "%(asctime)s %(process)d %(levelname)s %(message)s"


def main(argv: list[str]) -> int:
  """Migrates, or settles what became of a migration."""
  from ganeti.hypervisor.hv_lxc import (  # noqa: PLC0415
    driver,
    packaged,
    partitions,
  )
  from ganeti.hypervisor.hv_lxc.errors import LxcError  # noqa: PLC0415
  from ganeti.hypervisor.hv_lxc.migration import source  # noqa: PLC0415

  # The package may be upgraded meanwhile.
  partitions.preload()
  packaged.preload()
  name, lock = argv[1], int(argv[2])
  os.set_inheritable(lock, False)  # noqa: FBT003 - os has it so
  os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
  work = source.settle if "settle" in argv[3:] else source.migrate
  host = driver.local_host()
  try:
    work(host, partitions.Kpartx(), name)
  except LxcError as err:
    logging.error("Migration of %s: %s", name, err)  # noqa: TRY400 - expected
    return 1
  return 0


if __name__ == "__main__":
  logging.basicConfig(level=logging.INFO, format=_FORMAT)
  # The directory of the program itself is not where modules come from.
  sys.path[0] = str(Path(__file__).resolve().parents[4])
  sys.exit(main(sys.argv))
