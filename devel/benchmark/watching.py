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

"""What can be seen of a migration on the node that the guest leaves."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

# An emulated processor is slow.
_LOOK_EVERY_S = 0.02 if os.environ.get("GANETI_LXC_VM") == "1" else 0.002
# Run on the source: prints what changes, with the time, until its input ends.
_WATCHER = """
import json, select, sys, time
name, every = sys.argv[1], float(sys.argv[2])
home = "/var/lib/ganeti/lxc-migration/" + name
files = {
  "progress": home + "/progress.json",
  "v1": "/sys/fs/cgroup/freezer/ganeti-lxc/" + name + "/payload/freezer.state",
  "v2": "/sys/fs/cgroup/ganeti-lxc/" + name + "/payload/cgroup.events",
}
last = {}
def say(kind, text=""):
  print(json.dumps([time.monotonic(), kind, text]), flush=True)
say("begin")
while not select.select([sys.stdin], [], [], every)[0]:
  for key, path in files.items():
    try:
      with open(path) as stream:
        text = stream.read()
    except OSError:
      text = ""
    if text != last.get(key, ""):
      say(key, text)
      last[key] = text
say("end")
"""


@contextlib.contextmanager
def watcher(enter: list[str], name: str) -> Iterator[list[Any]]:
  """What changes on the source; complete when the block has ended.

  @param enter: begins a command line that is run on that node
  @param name: of the instance

  """
  seen: list[Any] = []
  child = subprocess.Popen(
    [*enter, "python3", "-uc", _WATCHER, name, str(_LOOK_EVERY_S)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert child.stdin
  assert child.stdout
  first, began = json.loads(child.stdout.readline()), time.monotonic()
  try:
    yield seen
  finally:
    over = time.monotonic()
    child.stdin.close()
    told = [json.loads(x) for x in child.stdout if x.endswith("]\n")]
    child.wait()
    seen += on_one_clock(first, told, began, over)


def on_one_clock(
  first: list[Any],
  told: Sequence[list[Any]],
  began: float,
  over: float,
) -> list[list[Any]]:
  """What a watcher told, by the clock of this machine.

  @param first: its first line: time on its node, "begin", ""
  @param told: the further ones; the last is its "end"
  @param began: when the first line was read here, in seconds
  @param over: when it was told here to end, in seconds
  @raise RuntimeError: it ended before it was told to

  """
  if not told or told[-1][1] != "end":
    raise RuntimeError("the watcher on the source ended by itself")
  pace = (over - began) / (told[-1][0] - first[0])
  return [
    [began + (when - first[0]) * pace, kind, text]
    for when, kind, text in told[:-1]
  ]
