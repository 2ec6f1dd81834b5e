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


"""TLS between two nodes of one cluster.

Each node has the same certificate with its key, C{server.pem}; either side
shows it and accepts no other.  It may be renewed at any time
(C{gnt-cluster renew-crypto}), so it is read for each connection.

C{ssl.create_default_context} is of no use: since Python 3.13 it sets
VERIFY_X509_STRICT, which refuses a certificate of X.509 version 1, and
Ganeti makes such (utils/x509.py).

"""

import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from ..errors import Failed, Refused

_CERTIFICATE = re.compile(
  r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL
)
_BACKLOG = 16

# A peer that answers nothing for so long is taken for dead.  Its kernel
# answers even when the process there is busy, so that only a lost node or
# network counts.  Ganeti's own RPC gives a node 60 s; DRBD, when its
# network is cut, about 16 s (timeout, ping-int and ping-timeout).  Clients
# of the frozen guest give up after minutes (tcp(7), tcp_retries2).
PEER_TIMEOUT_S = 30
_PROBE_AFTER_S = 10
_PROBE_EACH_S = 5
_PROBES = (PEER_TIMEOUT_S - _PROBE_AFTER_S) // _PROBE_EACH_S


@dataclass(frozen=True, slots=True)
class Identity:
  """The certificate of the cluster, as it was in the file when it was read.

  @ivar path: the file, with the key
  @ivar pem: the certificate alone
  @ivar der: the same, as peers send it

  """

  path: Path
  pem: str
  der: bytes

  @classmethod
  def read(cls, path: Path) -> "Identity":
    """Reads server.pem.

    @raise Refused: it cannot be read, or has no certificate

    """
    try:
      text = path.read_text(encoding="ascii")
    except (OSError, ValueError) as err:
      raise _no_certificate(str(err)) from err
    found = _CERTIFICATE.search(text)
    if not found:
      raise _no_certificate(f"{path}: there is no certificate in it")
    try:
      return cls(path, found[0], ssl.PEM_cert_to_DER_cert(found[0]))
    except ValueError as err:
      raise _no_certificate(f"{path}: {err}") from err

  def context(self, *, is_server: bool) -> ssl.SSLContext:
    """For one connection; the other side has to show the same certificate.

    @raise Refused: the file has no key that fits

    """
    kind = ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT
    context = ssl.SSLContext(kind)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    # A resumed session would not show the certificate again.
    context.options |= ssl.OP_NO_TICKET
    # Python sets it, and then a stream that was cut off looks ended.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    if is_server:
      context.num_tickets = 0
    try:
      # Without a password OpenSSL would ask the terminal for one.
      context.load_cert_chain(self.path, password="")
      context.load_verify_locations(cadata=self.pem)
    except (OSError, ValueError) as err:
      raise _no_certificate(f"{self.path}: {err}") from err
    return context

  def is_of(self, peer: ssl.SSLSocket) -> bool:
    """Whether the other side showed this very certificate."""
    return peer.getpeercert(binary_form=True) == self.der


def binding(connection: ssl.SSLSocket) -> bytes:
  """What no other TLS connection has, and both its ends know.

  RFC 5929 defines tls-unique up to TLS 1.2; what OpenSSL gives for 1.3 is
  the client's Finished message as well, a MAC over the whole handshake.

  @raise Failed: there is nothing, which no OpenSSL we know answers

  """
  unique = connection.get_channel_binding("tls-unique")
  if not unique:
    raise Failed("The TLS library gives nothing that binds a connection")
  return unique


def listen(address: str, port: int) -> socket.socket:
  """A socket that listens, not inherited by programs (PEP 446).

  @param address: one of this node's, IPv4 or IPv6
  @param port: 0 for any
  @raise Refused: the address is not ours, or the port is taken

  """
  listener = socket.socket(_family(address), socket.SOCK_STREAM)
  try:
    # Or connections of the migration before would keep the port for a
    # minute (TIME_WAIT).
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listener.family == socket.AF_INET6:
      listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind((address, port))
    listener.listen(_BACKLOG)
    listener.settimeout(0)
  except OSError as err:
    listener.close()
    raise Refused(
      f"Cannot listen on {shown(address, port)}",
      evidence=err.strerror or str(err),
      remedy="see whose it is with: ss -ltnp; another port can be set with"
      " the hypervisor parameter migration_port",
    ) from err
  return listener


def connect(address: str, port: int, timeout_s: float) -> socket.socket:
  """A plain connection, watched over by L{watch}.

  @raise Failed: nobody answered in time, or there is nobody

  """
  connection = socket.socket(_family(address), socket.SOCK_STREAM)
  try:
    connection.settimeout(timeout_s)
    connection.connect((address, port))
    watch(connection)
  except OSError as err:
    connection.close()
    raise Failed(
      f"Cannot connect to {shown(address, port)}",
      evidence=err.strerror or str(err) or "no answer",
      remedy="see whether the node is up, and the port open in its firewall",
    ) from err
  return connection


def watch(connection: socket.socket) -> None:
  """Has the kernel notice that the other side is gone.

  @raise OSError: the connection is gone already

  """
  connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
  # Keepalive speaks only when nothing was sent; with unacknowledged data
  # TCP alone would try on for a quarter of an hour.
  options = (
    (socket.TCP_KEEPIDLE, _PROBE_AFTER_S),
    (socket.TCP_KEEPINTVL, _PROBE_EACH_S),
    (socket.TCP_KEEPCNT, _PROBES),
    (socket.TCP_USER_TIMEOUT, PEER_TIMEOUT_S * 1000),
    # Short messages are waited for while the guest is frozen.
    (socket.TCP_NODELAY, 1),
  )
  for option, value in options:
    connection.setsockopt(socket.IPPROTO_TCP, option, value)


def wrap(
  context: ssl.SSLContext, plain: socket.socket, *, is_server: bool
) -> ssl.SSLSocket:
  """TLS on a socket that does not block; nothing is sent yet.

  A stream that was cut off is told from one that was ended.

  """
  try:
    return context.wrap_socket(
      plain,
      server_side=is_server,
      do_handshake_on_connect=False,
      suppress_ragged_eofs=False,
    )
  except BaseException:
    plain.close()
    raise


def shown(address: str, port: int) -> str:
  """Address and port as people write them."""
  return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _family(address: str) -> socket.AddressFamily:
  return socket.AF_INET6 if ":" in address else socket.AF_INET


def _no_certificate(evidence: str) -> Refused:
  return Refused(
    "The cluster's certificate cannot be used",
    evidence=evidence,
    remedy="gnt-cluster renew-crypto --new-cluster-certificate makes it anew",
  )
