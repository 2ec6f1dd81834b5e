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

"""An instance of the lab's cluster, as the node daemon gets it.

It is added by gnt-instance (and timed), then read from the configuration and
filled as ganeti.rpc.node does (_InstDict): cluster defaults for hypervisor,
back-end and NIC parameters, disks in disks_info.

"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ganeti import constants, objects, pathutils

NAME = "inst40.lab"
_TIMEOUT_S = 300
_STEPS = {
  "* creating instance disks...": "disks",
  "* running the instance OS create scripts...": "OS script and metadata",
  "* starting instance...": "start and hooks",
}


def _gnt(*argv: str) -> str:
  result = subprocess.run(
    argv, capture_output=True, text=True, timeout=_TIMEOUT_S
  )
  if result.returncode:
    raise RuntimeError(f"{' '.join(argv)}: {result.stderr or result.stdout}")
  return result.stdout


@contextmanager
def added() -> Iterator[None]:
  """An instance with one disk and one NIC, for the length of a block."""
  try:
    add(start=False)
    yield
  finally:
    remove()


def remove() -> None:
  """Takes the instance away, if it is there."""
  if NAME in _gnt("gnt-instance", "list", "--no-headers", "-o", "name"):
    _gnt("gnt-instance", "remove", "-f", "--shutdown-timeout=0", NAME)


def add(*, start: bool) -> float:
  """Adds the instance; returns how long that took, in seconds."""
  node = _gnt("gnt-node", "list", "--no-headers", "-o", "name").split()[0]
  begun = time.monotonic()
  _gnt(
    "gnt-instance", "add", "-t", "file", "-s", "256M", "-o", "busybox",
    "-H", "lxc", "-n", node, "--net", "0:mode=bridged,link=br0",
    *([] if start else ["--no-start"]), NAME,
  )  # fmt: skip
  return time.monotonic() - begun


def last_job() -> dict[str, float]:
  """The steps of the last job, in seconds."""
  number = _gnt("gnt-job", "list", "--no-headers", "-o", "id").split()[-1]
  path = Path(pathutils.QUEUE_DIR) / f"job-{number}"
  job = json.loads(path.read_text(encoding="utf-8"))
  operation = job["ops"][0]
  marks = [
    (job["received_timestamp"], "queue"),
    (operation["start_timestamp"], "locks"),
    (operation["exec_timestamp"], "checks and allocation"),
  ]
  for _, when, _, message in operation["log"]:
    if message in _STEPS:
      marks.append((when, _STEPS[message]))
  marks.append((operation["end_timestamp"], ""))
  times = [seconds + micro / 1e6 for (seconds, micro), _ in marks]
  return {
    name: later - now
    for (_, name), now, later in zip(marks, times, times[1:], strict=False)
  }


def as_noded_gets_it() -> tuple[Any, list[tuple[Any, str, None]]]:
  """The instance, and its disks as backend.StartInstance gives them."""
  path = Path(pathutils.CLUSTER_CONF_FILE)
  data = json.loads(path.read_text(encoding="utf-8"))
  cluster = objects.Cluster.FromDict(data["cluster"])
  cluster.UpgradeConfig()
  found = next(i for i in data["instances"].values() if i["name"] == NAME)
  instance = objects.Instance.FromDict(found)
  instance.UpgradeConfig()
  filled = instance.ToDict()
  filled["hvparams"] = cluster.FillHV(instance)
  filled["beparams"] = cluster.FillBE(instance)
  filled["disks_info"] = [data["disks"][uuid] for uuid in found["disks"]]
  for nic in filled["nics"]:
    nic["nicparams"] = objects.FillDict(
      cluster.nicparams[constants.PP_DEFAULT], nic["nicparams"]
    )
  instance = objects.Instance.FromDict(filled)
  devices = [(disk, disk.logical_id[1], None) for disk in instance.disks_info]
  return instance, devices
