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


"""A source and a target, with the loopback interface between them."""

import contextlib
import pathlib
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ganeti.hypervisor.hv_lxc.migration import connecting, tls
from ganeti.hypervisor.hv_lxc.migration.auth import Secret
from ganeti.hypervisor.hv_lxc.migration.channel import Channel
from ganeti.hypervisor.hv_lxc.migration.closing import Closes
from ganeti.hypervisor.hv_lxc.migration.listener import Listener

T = TypeVar("T")

LOOPBACK = "127.0.0.1"
MIGRATION = "00000000-0000-4000-8000-000000000001"
# Nobody waits so long; it ends a test that hangs.
PATIENCE_S = 10.0


def new_certificate(directory: pathlib.Path, serial: int) -> pathlib.Path:
  """A server.pem as Ganeti itself makes it: X.509 version 1, RSA."""
  with warnings.catch_warnings():
    # pyOpenSSL and Ganeti, not we, say what is out of date.
    warnings.simplefilter("ignore")
    from ganeti.utils import x509

    path = directory / "server.pem"
    x509.GenerateSelfSignedSslCert(str(path), serial)
  return path


class TwoNodes(Closes):
  """The target listens; the source connects as often as it likes."""

  def __init__(self, certificate: pathlib.Path):
    self.certificate = certificate
    self.secret = Secret.new()
    self.listener = Listener(
      tls.listen(LOOPBACK, 0),
      certificate=certificate,
      find_secret=lambda name: self.secret if name == MIGRATION else None,
    )
    self._pool = ThreadPoolExecutor(1)
    self._ends = contextlib.ExitStack()

  def close(self) -> None:
    """Ends what waits, then all of it."""
    self.listener.cancel()
    self._ends.close()
    self._pool.shutdown()
    self.listener.close()

  @property
  def port(self) -> int:
    return self.listener.port

  def aside(self, what: Callable[[], T]) -> "Future[T]":
    """Does something in another thread."""
    return self._pool.submit(what)

  def connect(self, **changed: object) -> Channel:
    """The source's side alone."""
    wanted = {
      "port": self.port,
      "certificate": self.certificate,
      "secret": self.secret,
      "migration": MIGRATION,
      "timeout_s": PATIENCE_S,
      **changed,
    }
    return connecting.connect(LOOPBACK, **wanted)  # type: ignore[arg-type]

  def accept(self) -> Channel:
    """The target's side alone."""
    return self.listener.accept(PATIENCE_S)

  @contextlib.contextmanager
  def link(self) -> Iterator[tuple[Channel, Channel]]:
    """Both ends of a connection."""
    accepted = self.aside(self.accept)
    with self.connect() as source, accepted.result(PATIENCE_S) as target:
      yield source, target
