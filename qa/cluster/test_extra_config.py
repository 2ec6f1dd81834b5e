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

"""extra_config: what an administrator may add, and nobody else."""

from cluster.cluster import Cluster

_DIRECTORY = "/etc/ganeti/lxc"


def test_accepted_keys_have_effect(cluster: Cluster) -> None:
  instance = cluster.add(
    hv=(r"extra_config=lxc.prlimit.nofile=4321\,lxc.environment=LIST=a\\\,b",)
  )
  limits = instance.inside("cat /proc/1/limits")
  assert any(
    line.startswith("Max open files") and "4321" in line
    for line in limits.splitlines()
  )
  environment = instance.inside("tr '\\0' '\\n' </proc/1/environ")
  assert "LIST=a,b" in environment


_REFUSED = (
  "lxc.hook.start-host=/bin/true",
  "lxc.include=/etc/passwd",
  "lxc.rootfs.path=dir:/",
  "lxc.mount.entry=/ mnt none bind 0 0",
  "lxc.mount.auto=proc:rw",
  "lxc.cap.keep=sys_admin",
  "lxc.cgroup.devices.allow=a",
  "lxc.cgroup2.memory.max=1G",
  "lxc.apparmor.profile=unconfined",
  "lxc.seccomp.profile=/dev/null",
  "lxc.net.0.script.up=/bin/true",
  "lxc.namespace.share.net=1",
  "lxc.log.file=/etc/passwd",
  "lxc.console.logfile=/etc/passwd",
  "lxc.idmap=u 0 0 1",
  "lxc.nosuchkey=1",
  "not a key",
)


def test_refused_keys_are_named(cluster: Cluster) -> None:
  instance = cluster.instance()
  for key in _REFUSED:
    said = instance.add_refused(hv=(f"extra_config={key}",))
    assert "extra_config" in said
    assert key.partition("=")[0] in said
  assert cluster.names() == []


def test_keys_from_a_file(cluster: Cluster) -> None:
  for node in cluster.nodes:
    node.write(f"{_DIRECTORY}/story", "# limits\nlxc.prlimit.nofile = 2345\n")
  instance = cluster.add(hv=("extra_config=file:story",))
  assert "2345" in instance.inside("cat /proc/1/limits")
  # A file is looked at again at every start.
  secret = "lxc.environment-of-the-secret"
  for node in cluster.nodes:
    node.write(f"{_DIRECTORY}/story", f"{secret}-word\n")
  instance.gnt("shutdown")
  said = instance.refused("startup")
  assert "story" in said
  assert "secret-word" not in said
  for node in cluster.nodes:
    node.write(f"{_DIRECTORY}/story", "lxc.prlimit.nofile = 2346\n")
  instance.gnt("startup")
  assert "2346" in instance.inside("cat /proc/1/limits")
  for node in cluster.nodes:
    node.run("rm", f"{_DIRECTORY}/story")


def test_files_that_are_not_to_be_trusted(cluster: Cluster) -> None:
  node = cluster.master
  shadow = node.run("cat", "/etc/shadow").splitlines()[0]
  node.sh(
    f"mkdir -p {_DIRECTORY}; cd {_DIRECTORY}; ln -sf /etc/shadow story-link;"
    " echo lxc.prlimit.nofile=9 >story-open; chmod 666 story-open;"
    " echo lxc.prlimit.nofile=9 >story-foreign; chown 65534 story-foreign"
  )
  try:
    for name in (
      "story-link", "story-open", "story-foreign", "story-none",
      "../shadow", "/etc/shadow", ".hidden",
    ):  # fmt: skip
      said = cluster.instance().add_refused(hv=(f"extra_config=file:{name}",))
      assert name in said
      assert "extra_config" in said or _DIRECTORY in said
      assert shadow not in said
      assert "root:" not in said
  finally:
    node.sh(f"cd {_DIRECTORY}; rm -f story-*")
  assert cluster.names() == []
