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

"""Connections of a guest that is moved which one end has closed."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc.host import wait_until
from integration.hv_lxc.migration.moving import (
  ADDRESS,
  ADDRESS6,
  BRIDGE,
  WAIT_S,
  Moving,
  moving,
)

pytestmark = pytest.mark.criu

PORT = 7003
GATEWAY6 = "2001:db8::1/64"
# It was 3 s until the guest asked its peer for room.
SOON_S = 1.5
# Says something when the node lets it, long after it was asked.
SERVE = """\
#!/bin/sh
cat >/var/asked
until [ -e /var/go ]; do sleep 0.05; done
echo answer
"""


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Moving]:
  with moving(tmp_path) as made:
    made.host.run(["ip", "addr", "add", GATEWAY6, "dev", BRIDGE, "nodad"])
    made.start()
    script = made.paths.rootfs / "etc/answer"
    script.write_text(SERVE)
    script.chmod(0o755)
    quiet = "</dev/null >/dev/null 2>&1"
    serve = f"setsid nc -l -p {PORT} -e /etc/answer {quiet} &"
    made.inside("sh", "-c", serve)
    assert wait_until(lambda: bool(sockets(made, "-l")), WAIT_S)
    assert wait_until(
      lambda: "tentative" not in made.inside("ip", "addr"), WAIT_S
    )
    yield made


def sockets(guest: Moving, *options: str) -> str:
  return guest.in_its_network("ss", "-Htn", *options, f"sport = {PORT}")


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS6])
def test_the_answer_to_a_client_that_has_closed_its_end_is_sent_at_once(
  guest: Moving, address: str
) -> None:
  """The guest took its peer for one without room, and waited."""
  with socket.create_connection((address, PORT), WAIT_S) as peer:
    peer.sendall(b"question")
    peer.shutdown(socket.SHUT_WR)
    assert wait_until(lambda: "CLOSE-WAIT" in sockets(guest), WAIT_S)
    guest.move()
    assert "CLOSE-WAIT" in sockets(guest)
    begun = time.monotonic()
    (guest.paths.rootfs / "var/go").touch()
    assert peer.recv(10) == b"answer\n"
    assert time.monotonic() - begun < SOON_S
    assert not peer.recv(10)
