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

"""The program behind gnt-instance console: python3 console_main.py NAME.

It is run by its path, so it finds the Ganeti it belongs to by itself:
<share>/ganeti/hypervisor/hv_lxc/console_main.py.

"""

import sys
from pathlib import Path


def main(argv: list[str]) -> int:
  """Connects this terminal to an instance; does not return on success."""
  if len(argv) <= 1:
    print("usage: console_main.py INSTANCE", file=sys.stderr)
    return 1
  from ganeti.hypervisor.hv_lxc import (  # noqa: PLC0415
    cgroup,
    command,
    driver,
    hierarchies,
    terminals,
    winsize,
  )

  host = driver.local_host()
  name = argv[1]
  if not cgroup.is_running(hierarchies.find(host), name):
    print(f"Instance {name} does not run on this node", file=sys.stderr)
    return 1
  choice = terminals.choose(host, name)
  if choice.notice:
    print(choice.notice, file=sys.stderr, flush=True)
  if choice.size_of is not None:
    winsize.follow(host, choice.size_of)
  terminals.resume_soon(host, name)
  command.become(choice.argv)
  return 1


if __name__ == "__main__":
  # The directory of the program itself is not where modules come from.
  sys.path[0] = str(Path(__file__).resolve().parents[3])
  sys.exit(main(sys.argv))
