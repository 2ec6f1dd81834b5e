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

"""Every path that belongs to an instance, below injectable roots.

What a running instance depends on (its LXC configuration, hook scripts,
seccomp profile, runtime record, mount points) lies below C{data_dir},
which survives a wiped /run and an upgraded package: LXC runs the hooks
again whenever the guest reboots itself.  C{run_dir} has only what may be
lost: the console log and locks.

"""

import glob
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class InstancePaths:
  """The files of one instance."""

  home: Path
  console_log: Path
  log_file: Path

  @property
  def config(self) -> Path:
    return self.home / "config"

  @property
  def record(self) -> Path:
    return self.home / "record.json"

  @property
  def rootfs(self) -> Path:
    return self.home / "rootfs"

  def disk(self, index: int) -> Path:
    """Where a further disk with a file system is mounted on the host."""
    return self.home / "disks" / str(index)

  @property
  def disks(self) -> Path:
    return self.home / "disks"

  @property
  def seccomp(self) -> Path:
    return self.home / "seccomp"

  @property
  def start_host_hook(self) -> Path:
    return self.home / "start-host"

  @property
  def post_stop_hook(self) -> Path:
    return self.home / "post-stop"

  @property
  def start_again(self) -> Path:
    """Run by the post-stop hook of a restored guest that reboots."""
    return self.home / "start-again"

  @property
  def restored(self) -> Path:
    """There while a guest runs that was restored, see post-stop.sh."""
    return self.home / "restored"

  @property
  def moving(self) -> Path:
    """Tells the post-stop hook that the guest ends here to go on elsewhere."""
    return self.home / "moving"

  @property
  def hold_program(self) -> Path:
    return self.home / "hold.py"

  @property
  def hold_flag(self) -> Path:
    """Tells the start-host hook to hold the guest, once."""
    return self.home / "hold"

  @property
  def log_name(self) -> Path:
    """Tells the post-stop hook where the log is."""
    return self.home / "log-name"

  @property
  def start_host_data(self) -> Path:
    return self.home / "start-host.conf"

  def nic_hook(self, verb: str) -> Path:
    return self.home / f"nic-{verb}"

  def nic_env(self, index: int) -> Path:
    return self.home / f"nic{index}.env"

  @property
  def fstab(self) -> Path:
    """Bound over the guest's own."""
    return self.home / "fstab"

  @property
  def ended(self) -> Path:
    """Made by the post-stop hook: how the guest came to its end."""
    return self.home / "ended"


@dataclass(frozen=True, slots=True)
class MigrationPaths:
  """The files of an instance's live migration on one node.

  They are private (0700, 0600): images hold the guest's secrets.

  """

  home: Path

  @property
  def journal(self) -> Path:
    """The durable state; see migration/journal.py."""
    return self.home / "journal.json"

  @property
  def journal_lock(self) -> Path:
    """Held for each single step."""
    return self.home / "journal.lock"

  @property
  def reserve(self) -> Path:
    """Room that is set aside for the journal."""
    return self.home / "reserve"

  @property
  def worker_lock(self) -> Path:
    """Held by the worker or receiver for its life; its number is in it."""
    return self.home / "worker.lock"

  @property
  def progress(self) -> Path:
    """What GetMigrationStatus reads; need not survive anything."""
    return self.home / "progress.json"

  @property
  def task(self) -> Path:
    """What this node needs to know for its part."""
    return self.home / "task.json"

  @property
  def files(self) -> Path:
    """The source's instance directory, as the restore needs it."""
    return self.home / "files"

  @property
  def images(self) -> Path:
    """CRIU's images."""
    return self.home / "images"

  @property
  def ask(self) -> Path:
    """FIFO on which CRIU's action script asks the worker."""
    return self.home / "ask"

  @property
  def answer(self) -> Path:
    return self.home / "answer"

  def log(self, what: str) -> Path:
    """A log of CRIU's or of the worker's, kept until the next attempt."""
    return self.home / f"{what}.log"


@dataclass(frozen=True, slots=True)
class Layout:
  """The directories of the driver.

  @ivar data_dir: instances' directories; also LXC's lxcpath
  @ivar run_dir: console logs, locks
  @ivar log_dir: lxc-start's logs
  @ivar conf_dir: the administrator's files for extra_config

  """

  data_dir: Path
  run_dir: Path
  log_dir: Path
  conf_dir: Path

  @property
  def lxcpath(self) -> Path:
    return self.data_dir

  @property
  def migrations(self) -> Path:
    """Beside the instances' directories, which LXC takes for containers."""
    return self.data_dir.with_name(f"{self.data_dir.name}-migration")

  @property
  def receiver_lock(self) -> Path:
    """Held by the process that listens for sources, for its life."""
    return self.migrations / ".receiver.lock"

  @property
  def receiver_mutex(self) -> Path:
    """Held while that process is started, or decides to end."""
    return self.migrations / ".receiver.mutex"

  @property
  def receiver_log(self) -> Path:
    return self.log_dir / "migration.log"

  @property
  def certificate(self) -> Path:
    """The cluster's (pathutils.NODED_CERT_FILE)."""
    return self.data_dir.parent / "server.pem"

  @property
  def known_hosts(self) -> Path:
    """The host key of all nodes (pathutils.SSH_KNOWN_HOSTS_FILE)."""
    return self.data_dir.parent / "known_hosts"

  @property
  def cluster_config(self) -> Path:
    """On master candidates (pathutils.CLUSTER_CONF_FILE)."""
    return self.data_dir.parent / "config.data"

  def ssconf(self, key: str) -> Path:
    """What Ganeti tells every node (ssconf.py, KeyToFilename)."""
    return self.data_dir.parent / f"ssconf_{key}"

  def disk_links(self, name: str) -> list[Path]:
    """Ganeti's links to an instance's disks (pathutils.DISK_LINKS_DIR)."""
    links = self.run_dir.parent / "instance-disks"
    return sorted(links.glob(f"{glob.escape(name)}:*"))

  def migration(self, name: str) -> MigrationPaths:
    return MigrationPaths(home=self.migrations / name)

  def lock(self, name: str) -> Path:
    return self.run_dir / "locks" / name

  def instance(self, name: str, uuid: str = "") -> InstancePaths:
    """The paths of an instance; its UUID is only in the log's name."""
    log_name = f"{name}.{uuid}.log" if uuid else f"{name}.log"
    return InstancePaths(
      home=self.data_dir / name,
      console_log=self.run_dir / f"{name}.console",
      log_file=self.log_dir / log_name,
    )

  @classmethod
  def below(cls, data: str, run: str, log: str, conf: str) -> "Layout":
    """From Ganeti's own directories (pathutils)."""
    return cls(
      data_dir=Path(data) / "lxc",
      run_dir=Path(run) / "lxc",
      log_dir=Path(log) / "lxc",
      conf_dir=Path(conf) / "lxc",
    )
