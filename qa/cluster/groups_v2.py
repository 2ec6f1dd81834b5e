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

"""cgroup v2, as it is told from the node: a guest's group and its files."""

from cluster.cluster import Instance


def group(instance: Instance) -> str:
  """The directory of what a guest is confined by."""
  return f"/sys/fs/cgroup/ganeti-lxc/{instance.name}/payload"


def value(instance: Instance, file: str) -> str:
  """A control file of the guest's group."""
  return instance.node.run("cat", f"{group(instance)}/{file}").strip()


def limits(instance: Instance) -> dict[str, str]:
  """All that a guest is held to."""
  files = ("memory.max", "memory.swap.max", "cpu.max", "cpuset.cpus")
  return {file: value(instance, file) for file in files}


def count(instance: Instance, file: str, key: str) -> int:
  """A figure of a file with a key on each line."""
  lines = dict(line.split() for line in value(instance, file).splitlines())
  return int(lines[key])


def processor_share(instance: Instance, seconds: int) -> float:
  """How many processors a guest keeps busy, measured on its node."""
  out = instance.node.python(
    """
import sys, time

def used():
  with open(sys.argv[1]) as stream:
    return int(stream.readline().split()[1]) / 1e6

begin, before = time.monotonic(), used()
time.sleep(int(sys.argv[2]))
print((used() - before) / (time.monotonic() - begin))
""",
    f"{group(instance)}/cpu.stat",
    str(seconds),
  )
  return float(out)
