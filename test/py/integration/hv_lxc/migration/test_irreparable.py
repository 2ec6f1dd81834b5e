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

"""Guests that CRIU can save, and can restore nowhere: they must not be stopped.

Each was lost: the dump succeeded, and the restore failed on either node.
"""

import shutil

import pytest
from ganeti.hypervisor.hv_lxc.command import run
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.migration import preflight
from integration.hv_lxc import busybox
from integration.hv_lxc.migration.moving import Moving

pytestmark = pytest.mark.criu

IN_THE_BACKGROUND = "</dev/null >/dev/null 2>&1 &"


def check(guest: Moving) -> None:
  preflight.check_guest(guest.host, preflight.node_of(guest.host), guest.name)


def run_inside(guest: Moving, script: str) -> None:
  """A shell in a session of its own, with nothing of the node open."""
  path = guest.paths.rootfs / "var/script"
  path.write_text(script)
  guest.inside("sh", "-c", f"setsid sh /var/script {IN_THE_BACKGROUND}")
  guest.inside("sh", "-c", "while [ ! -e /var/done ]; do sleep 0.05; done")


REBUILT = """\
mkdir /var/app && cd /var/app && rmdir /var/app
mkdir -p /var/app/anew
: >/var/done
exec sleep 1000
"""
# It leaves its session; its child stays, and the session's leader ends.
LEFT = """\
(sh -c 'sleep 0.5; : >/var/done; sleep 1000' & exec setsid sleep 1000) &
sleep 0.1
"""
KEPT = """\
mkdir /var/app && cd /var/app && rmdir /var/app
sleep 1000 &
: >/var/done
"""


@pytest.mark.parametrize(
  ("script", "reason"),
  [
    (REBUILT, "working directory /var/app: it was removed"),
    (LEFT, "session .* process 1 has not adopted it"),
  ],
)
def test_it_is_refused_and_runs_on(
  guest: Moving, script: str, reason: str
) -> None:
  run_inside(guest, script)
  with pytest.raises(Refused, match=reason):
    check(guest)
  assert guest.counts_on()


def test_what_is_like_it_is_moved(guest: Moving) -> None:
  """A removed directory with no other in its place; a daemon of process 1."""
  run_inside(guest, KEPT)
  check(guest)
  guest.move()


# Sockets that answer with what they are sent, or take datagrams.
SOCKET = """\
set -e
alias mv='busybox mv' rm='busybox rm' ln='busybox ln'
listen() { socat "UNIX-LISTEN:$1,fork" EXEC:cat & wait_for "$1"; }
receive() { socat -u "UNIX-RECV:$1" STDOUT & wait_for "$1"; }
wait_for() { while [ ! -e "$1" ]; do sleep 0.05; done; }
mkdir /var/a /var/b
"""
ENDED = """
cd /
: >/var/done
exec sleep 1000
"""


@pytest.fixture
def guest_with_socat(guest: Moving) -> Moving:
  socat = shutil.which("socat")
  assert socat, "socat is not installed"
  busybox.add(guest.paths.rootfs, socat)
  return guest


@pytest.mark.parametrize(
  ("script", "reason"),
  [
    ("listen /var/a/new; mv /var/a/new /var/a/name", "new: .* elsewhere"),
    ("receive /var/a/new; mv /var/a/new /var/a/name", "new: .* elsewhere"),
    ("listen /var/a/new; ln /var/a/new /var/a/name", "new: .* elsewhere"),
    ("listen /var/a/new; mv /var/a /var/c", "new: .* elsewhere"),
    ("cd /var/a; listen new; mv new name", "new: .* by its relative name"),
    ("cd /var/a; listen new; cd /; rm -r /var/a", "new: the directory .* gone"),
    (f"listen /var/a/{'n' * 101}", "too long"),
    (
      "listen /var/a/new; rm -r /var/a; : >/var/a",
      "new: the directory .* something else",
    ),
  ],
)
def test_a_socket_that_would_not_answer(
  guest_with_socat: Moving, script: str, reason: str
) -> None:
  """Or with which the guest would be lost, or could not be saved."""
  run_inside(guest_with_socat, SOCKET + script + ENDED)
  with pytest.raises(Refused, match=f"fd .* socket .*{reason}"):
    check(guest_with_socat)
  assert guest_with_socat.counts_on()


SOUND = """\
ln -s /var/a /var/link
listen /var/link/by-a-link
(cd /var/b; listen ./relative; mv /var/b /var/c)
listen /var/a/removed
rm /var/a/removed
listen /var/a/removed
mkdir /var/d
listen /var/d/without-directory
rm -r /var/d
socat PIPE UNIX-CONNECT:/var/a/by-a-link &
receive /var/a/datagrams
"""
ANSWERING = ("a/by-a-link", "c/relative", "a/removed")


def test_sockets_that_answer_when_they_were_moved(
  guest_with_socat: Moving,
) -> None:
  run_inside(guest_with_socat, SOCKET + SOUND + ENDED)
  check(guest_with_socat)
  guest_with_socat.move()
  for name in ANSWERING:
    say = f"echo hello | socat -t 5 - UNIX-CONNECT:/var/{name}"
    assert guest_with_socat.inside("sh", "-c", say) == "hello", name


@pytest.mark.parametrize(
  ("change", "reason"),
  [
    ("umount -l /mnt", "a mount that no process"),
    ("mount -o remount,ro,bind none /mnt", "read-only"),
  ],
)
def test_a_socket_in_a_mount_that_was_changed(
  guest_with_socat: Moving, change: str, reason: str
) -> None:
  space = ("nsenter", "-t", str(guest_with_socat.init), "--mount")

  def have(command: str) -> None:
    result = run([*space, "/bin/busybox", *command.split()])
    assert not result.failed, result.evidence()

  have("mount -t tmpfs none /mnt")
  run_inside(guest_with_socat, SOCKET + "listen /mnt/new" + ENDED)
  have(change)
  with pytest.raises(Refused, match=f"fd .* socket /mnt/new: .*{reason}"):
    check(guest_with_socat)
