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

"""What has to be gone when an instance was removed, and never may happen."""

import json
import re
from collections.abc import Iterable

from cluster.cluster import Cluster, Node
from ganeti_lab import plan

Found = dict[str, set[str]]
LAB_STORAGE = (plan.SHARED_FILE_STORAGE, plan.FILE_STORAGE)

# Run in a node: everything there that a container could have left.
_PROBE = r"""
import json, os, pathlib, re, subprocess, sys

found = {}

def note(kind, item):
  found.setdefault(kind, []).append(item)

def text(path):
  try:
    return pathlib.Path(path).read_bytes().decode("utf-8", "replace")
  except OSError:
    return ""

for pid in filter(str.isdigit, os.listdir("/proc")):
  line = text(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
  ours = re.match(r"(\S*/)?(lxc-|\[lxc monitor\]|criu )", line)
  ours = ours or "/source_main.py" in line
  # The service of Debian's lxc has another number after each boot.
  ours = ours and not line.endswith("/lxc-monitord --daemon")
  if "/ganeti-lxc" in text(f"/proc/{pid}/cgroup") or ours:
    note("process", f"{pid} {line}")

for line in text("/proc/self/mountinfo").splitlines():
  fields = line.split()
  note("mount", f"{fields[4]} from {line.partition(' - ')[2].split()[1]}")

for name in os.listdir("/dev/mapper") if os.path.isdir("/dev/mapper") else ():
  note("mapping", name)

for root, names, _ in os.walk("/sys/fs/cgroup"):
  for name in names:
    # That of a service or of a session may come at any time.
    if "lxc" in f"{root}/{name}" and not name.endswith(".mount"):
      note("cgroup", f"{root}/{name}")

for name in os.listdir("/sys/class/net"):
  note("interface", name)

for command in (["rule", "show"], ["route", "show", "table", "all"],
                ["neigh", "show", "proxy"]):
  out = subprocess.run(["ip", *command], capture_output=True, text=True)
  for line in out.stdout.splitlines():
    note("network", f"ip {command[0]}: {line.strip()}")

for top in ("/var/lib/ganeti/lxc", "/run/ganeti/lxc", "/var/lib/lxc",
            "/run/ganeti/instance-disks", "/run/ganeti/kpartx", "/run/lxc",
            "/var/lib/ganeti/export", "/var/tmp", *sys.argv[1:]):
  for root, directories, files in os.walk(top):
    for name in directories + files:
      note("file", f"{root}/{name}")

# What somebody installed by hand shadows what the package brings.
for top in ("/usr/local", "/etc/cron.d", "/etc/ganeti", "/var/lib/prometheus"):
  for root, directories, files in os.walk(top):
    for name in files:
      note("file", f"{root}/{name}")

# A journal tells where an instance went and may stay; images are secrets.
for root, directories, files in os.walk("/var/lib/ganeti/lxc-migration"):
  for name in directories:
    if name in ("images", "files"):
      note("file", f"{root}/{name}")

for name in os.listdir("/sys/block"):
  if name.startswith("loop"):
    back = text(f"/sys/block/{name}/loop/backing_file").strip()
    if back:
      note("loop", f"{name} {back}")

print(json.dumps(found))
"""

# Logs stay, by design; so does what is made once for all instances.
_KEPT = re.compile(
  r"/run/ganeti/lxc/.*\.console(\.\d+)?"
  r"|/run/ganeti/lxc/(locks|(lxc|criu)-version\.json)"
  r"|/var/lib/ganeti/lxc|/run/ganeti/lxc"
  r"|/run/lxc(/lock(/var(/lib(/(ganeti(/lxc)?|lxc))?)?)?)?"
  r"|/sys/fs/cgroup/([^/]*/)?ganeti-lxc(-pivot.*|-scripts)?"
  # systemd's, of a node whose power was cut.
  r"|/var/tmp/systemd-private-[0-9a-f]{32}-.*"
  # LXC's own, of a container that is not an instance.
  r"|/sys/fs/cgroup/([^/]*/)?lxc\.pivot"
)
# What no story may take away: the next one would find it come back.
_OF_THE_NODE = ("/etc/ganeti/", "/usr/local/")
_DISK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_LOGS = ("node-daemon.log", "jobs.log", "commands.log")
_EXCEPTION = re.compile(
  r"^([A-Za-z_][\w.]*(?:Error|Exception|Fail|Refused|Failed|Incomplete"
  r"|Interrupt|Exit|Timeout|Warning))\b"
)
# What an error that was handled ends in.
_HANDLED = re.compile(
  r"(ganeti\.)?(errors|http|rpc\.\w+|luxi|utils\.\w+)\..*"
  r"|ganeti\.hypervisor\.hv_lxc\.errors\..*"
  r"|ganeti\.backend\.RPCFail|.*RPCFail|pycurl\.error|.*SSL\.Error"
)


def probe(node: Node) -> Found:
  """What is on a node now."""
  storage = node.site.storage if node.site else LAB_STORAGE
  found = json.loads(node.python(_PROBE, *storage))
  return {kind: set(items) for kind, items in found.items()}


class Watch:
  """Compares the nodes before and after a test."""

  def __init__(self, cluster: Cluster) -> None:
    self._cluster = cluster
    self._disks: set[str] = set()
    self._before = {node: probe(node) for node in cluster.nodes}
    self._sizes = {
      (node, log): _size(node, log) for node in cluster.nodes for log in _LOGS
    }

  def learn_disks(self) -> None:
    """Notes the disks there are, whose loop devices are ours."""
    for node in self._cluster.nodes:
      storage = node.site.storage if node.site else LAB_STORAGE
      # One that no template needs may not be there.
      find = ("find", *storage, "-type", "f")
      files = node.try_run(*find).output
      self._disks |= {m[0] for m in _DISK_ID.finditer(files)}

  def complaints(self) -> list[str]:
    """Everything that is left, and errors that nobody handled."""
    found = []
    for node in self._cluster.nodes:
      found += self._left_on(node)
      for log in _LOGS:
        text = _tail(node, log, self._sizes[node, log])
        found += [f"{node.name}: {log}: {line}" for line in unhandled(text)]
    return found

  def _left_on(self, node: Node) -> list[str]:
    before, after = self._before[node], probe(node)
    left = []
    for kind, items in sorted(after.items()):
      for item in sorted(items - before.get(kind, set())):
        if _KEPT.fullmatch(item):
          continue
        # Loop devices belong to the whole machine, other labs included.
        if kind == "loop" and not self._is_ours(item):
          continue
        left.append(f"{node.name}: {kind} left: {item}")
    gone = before.get("file", set()) - after.get("file", set())
    return left + [
      f"{node.name}: file gone: {item}"
      for item in sorted(gone)
      if item.startswith(_OF_THE_NODE)
    ]

  def _is_ours(self, loop: str) -> bool:
    match = _DISK_ID.search(loop)
    return match is not None and match[0] in self._disks


def unhandled(text: str) -> list[str]:
  """Errors in a daemon's log that nobody expected.

  A traceback may be logged for an error that is handled; the last
  exception of a chain tells which it is.

  """
  found = [
    line for line in text.splitlines() if line.endswith("LXC: unexpected")
  ]
  last = ""
  for line in [*text.splitlines(), "2000-01-01 end"]:
    if _EXCEPTION.match(line):
      last = line
    elif re.match(r"\d{4}-\d\d-\d\d ", line) and last:
      if not _HANDLED.match(last):
        found.append(last)
      last = ""
  return found


def _size(node: Node, log: str) -> int:
  done = node.try_run("stat", "-c", "%s", f"/var/log/ganeti/{log}")
  return int(done.output) if done.status == 0 else 0


def _tail(node: Node, log: str, offset: int) -> str:
  path = f"/var/log/ganeti/{log}"
  return node.try_run("tail", "-c", f"+{offset + 1}", path).output


def evidence(nodes: Iterable[Node], since: str) -> str:
  """The ends of all logs that could explain a failure.

  @param since: the time in UTC, as it begins a line of Ganeti's logs

  """
  script = """
    for log in $(ls -t /var/log/ganeti/lxc/*.log 2>/dev/null | head -n 2); do
      echo "== $log"; grep -vE 'TRACE|DEBUG|Executing' "$log" | tail -n 15
    done
    for log in $(ls -t /run/ganeti/lxc/*.console 2>/dev/null | head -n 2); do
      echo "== $log"; tail -n 15 "$log" | tr -d '\r'
    done
    echo "== node-daemon.log"
    awk -v since="$1" '$0 >= since && / (ERROR|WARNING) /' \
      /var/log/ganeti/node-daemon.log |
      grep -vE 'while handling request|ERROR Hypervisor' | tail -n 15
  """
  return "\n".join(
    f"==== {n.name}\n{n.try_run('bash', '-c', script, 'sh', since).output}"
    for n in nodes
  )
