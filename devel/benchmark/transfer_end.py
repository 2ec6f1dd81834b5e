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


"""One end of a transfer, as a program: python3 -m benchmark.transfer_end.

Both kinds send what is in a directory over TLS to another process, which
writes it into another directory: "ours" with the driver's own modules,
"bare" with a loop of read, SSL_write, SSL_read and write.  The target
prints its port first; each end prints what it took as JSON.

"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from ganeti.hypervisor.hv_lxc.migration import messages, tls
from ganeti.hypervisor.hv_lxc.migration.auth import Secret
from ganeti.hypervisor.hv_lxc.migration.connecting import connect
from ganeti.hypervisor.hv_lxc.migration.intake import Intake
from ganeti.hypervisor.hv_lxc.migration.listener import Listener
from ganeti.hypervisor.hv_lxc.migration.stream import Sender

_LOOPBACK = "127.0.0.1"
_MIGRATION = "00000000-0000-4000-8000-000000000000"
# Both ends are ours: nothing secret is sent.
_SECRET = Secret(bytes(32))
_ROOM = 1 << 40
_PATIENCE_S = 60.0
_BUFFER = 1 << 20


def _ours_source(options: argparse.Namespace) -> None:
  with connect(
    _LOOPBACK,
    options.port,
    certificate=options.certificate,
    secret=_SECRET,
    migration=_MIGRATION,
  ) as channel:
    sender = Sender(channel, bandwidth_mib=options.bandwidth)
    sender.send_directory("images", options.directory)
    sender.finish()
    channel.receive(_PATIENCE_S)


def _ours_target(options: argparse.Namespace) -> None:
  with Listener(
    tls.listen(_LOOPBACK, 0),
    certificate=options.certificate,
    find_secret=lambda _: _SECRET,
  ) as listener:
    print(listener.port, flush=True)
    channel = listener.accept(_PATIENCE_S)
  with channel, Intake(options.directory, limit=_ROOM) as intake:
    while not intake.complete:
      message = channel.receive(_PATIENCE_S)
      assert isinstance(message, messages.TRANSFER)
      intake.take(message)
    channel.send(messages.Ready())


def _bare_source(options: argparse.Namespace) -> None:
  identity = tls.Identity.read(options.certificate)
  context = identity.context(is_server=False)
  plain = tls.connect(_LOOPBACK, options.port, _PATIENCE_S)
  buffer = memoryview(bytearray(_BUFFER))
  with context.wrap_socket(plain) as connection:
    for path in sorted(options.directory.iterdir()):
      with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
          connection.sendall(buffer[:count])
    # Returns when the other end has closed too.
    connection.unwrap()


def _bare_target(options: argparse.Namespace) -> None:
  identity = tls.Identity.read(options.certificate)
  context = identity.context(is_server=True)
  with tls.listen(_LOOPBACK, 0) as listener:
    listener.settimeout(_PATIENCE_S)
    print(listener.getsockname()[1], flush=True)
    plain, _ = listener.accept()
  buffer = memoryview(bytearray(_BUFFER))
  with (
    context.wrap_socket(plain, server_side=True) as connection,
    (options.directory / "all").open("wb", buffering=0) as file,
  ):
    while count := connection.recv_into(buffer):
      file.write(buffer[:count])
    connection.unwrap()


_ENDS: dict[str, Callable[[argparse.Namespace], None]] = {
  "ours-source": _ours_source,
  "ours-target": _ours_target,
  "bare-source": _bare_source,
  "bare-target": _bare_target,
}


def main() -> None:
  """The command line."""
  parser = argparse.ArgumentParser()
  parser.add_argument("end", choices=_ENDS)
  parser.add_argument("certificate", type=Path)
  parser.add_argument("directory", type=Path)
  parser.add_argument("--port", type=int, default=0)
  parser.add_argument("--bandwidth", type=int, default=0)
  options = parser.parse_args()
  before, begun = os.times(), time.monotonic()
  _ENDS[options.end](options)
  after, ended = os.times(), time.monotonic()
  cpu = after.user + after.system - before.user - before.system
  print(json.dumps({"seconds": ended - begun, "cpu": cpu}))


if __name__ == "__main__":
  main()
