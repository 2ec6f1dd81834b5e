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

"""Has a guest's peers send again at once what was lost while it moved.

TCP repeats a segment that is not acknowledged after a time that doubles with
each attempt (RFC 6298, 5.5): a peer that has waited for two seconds waits for
up to two more, although the guest runs again.  It takes such a doubling back,
and sends at once if the shorter time is over, for an ICMP message by which the
segment that it repeats could not be delivered (RFC 6069; Linux does it for
"host unreachable" and IPv6's "no route", tcp_ld_RTO_revert).  No connection
ends by that, a host must not take it for more than a hint (RFC 1122,
4.2.3.9), and one that knows no better ignores it.

CRIU ends the repair mode of the restored sockets when the network is there,
and has the kernel send a window probe for each (tcp(7), TCP_REPAIR).  So what
is to be listened to are the guest's own packets, until the restore has settled.

"""

import contextlib
import logging
import select
import socket
import struct
import threading
from collections.abc import Iterator

from ..errors import one_line
from ..host import Host
from . import netns, unreachable
from .waiting import Wake, poll

_log = logging.getLogger(__name__)

_ETH_P_ALL = 0x0003
_ETH_P_IP, _ETH_P_IPV6 = 0x0800, 0x86DD
_LOOPBACK = "lo"
_LARGEST = 128
_MOST_PEERS = 4096
# Of packets that wait to be heard: the kernel counts 800 bytes for each, and
# CRIU has a thousand sent within some milliseconds.
_ROOM = 16 << 20
# About as many as fit there.  A guest that runs again can send without an end.
_MOST_AT_ONCE = 10_000
# Each takes back one doubling: from 200 ms to Linux' longest, two minutes.
_TIMES = 10
_IP_PKTINFO = 8
_SO_RCVBUFFORCE = 33


class Watch:
  """Listens to one guest from when it is told of it until the block ends."""

  def __init__(self, host: Host, name: str) -> None:
    self._host = host
    self._name = name
    self._over = Wake()
    self._thread: threading.Thread | None = None

  def begin(self, init: int | None) -> None:
    """Listens from now on; that it does not work is no reason to fail.

    @param init: the guest's process 1

    """
    if init is None:
      return
    listens = threading.Event()
    self._thread = threading.Thread(
      target=self._run, args=(init, listens), daemon=True
    )
    self._thread.start()
    listens.wait()

  def close(self) -> None:
    """Ends it, when all that was heard has been dealt with."""
    self._over.call()
    if self._thread:
      self._thread.join()
    self._over.close()

  def _run(self, init: int, listens: threading.Event) -> None:
    try:
      with contextlib.ExitStack() as stack:
        netns.enter(self._host, init)
        tap = stack.enter_context(_tap())
        senders: dict[socket.AddressFamily, socket.socket] = {}
        for family in (socket.AF_INET, socket.AF_INET6):
          # A node may have no IPv6 at all (ipv6.disable=1).
          with contextlib.suppress(OSError):
            senders[family] = stack.enter_context(_sender(family))
        listens.set()
        self._listen(tap, senders)
    except OSError as err:
      _log.warning(
        "Instance %s: its peers are not told to go on at once: %s",
        self._name,
        one_line(repr(err)),
      )
    finally:
      listens.set()

  def _listen(
    self,
    tap: socket.socket,
    senders: dict[socket.AddressFamily, socket.socket],
  ) -> None:
    told: set[unreachable.Connection] = set()
    is_over = False
    while not is_over:
      fds = {tap.fileno(): select.POLLIN, self._over.fd: select.POLLIN}
      is_over = self._over.fd in poll(fds, None)
      for probe, interface in _heard(tap):
        sender = senders.get(probe.connection.family)
        is_new = probe.connection not in told and len(told) < _MOST_PEERS
        if sender is not None and is_new:
          told.add(probe.connection)
          _tell(sender, probe, interface)
    _log.info("Instance %s: %d connections go on", self._name, len(told))


@contextlib.contextmanager
def watch(host: Host, name: str) -> Iterator[Watch]:
  """While this lasts, the peers of a guest are told when it goes on."""
  found = Watch(host, name)
  try:
    yield found
  finally:
    found.close()


def _tap() -> socket.socket:
  """All packets, of those too that are sent, from their IP header on."""
  kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
  tap = socket.socket(socket.AF_PACKET, kind, socket.htons(_ETH_P_ALL))
  # Without it there is room for some hundred connections.
  with contextlib.suppress(OSError):
    tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
  return tap


def _sender(family: socket.AddressFamily) -> socket.socket:
  is_old = family == socket.AF_INET
  protocol = socket.IPPROTO_ICMP if is_old else socket.IPPROTO_ICMPV6
  kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
  return socket.socket(family, kind, protocol)


def _heard(tap: socket.socket) -> Iterator[tuple[unreachable.Probe, str]]:
  """What the guest has acknowledged, and where; see also _MOST_AT_ONCE."""
  for _ in range(_MOST_AT_ONCE):
    try:
      packet, (name, protocol, way, *_) = tap.recvfrom(_LARGEST)
    except BlockingIOError:
      return
    is_ip = protocol in (_ETH_P_IP, _ETH_P_IPV6)
    if is_ip and way == socket.PACKET_OUTGOING and name != _LOOPBACK:
      probe = unreachable.probe_of(packet)
      if probe:
        yield probe, name


def _tell(
  sender: socket.socket, probe: unreachable.Probe, interface: str
) -> None:
  """Sends the message, as from the address that the connection has."""
  ends = probe.connection
  peer = socket.inet_ntop(ends.family, ends.peer)
  text = unreachable.message(probe)
  # The guest's own firewall may forbid it, and an address need not be its own.
  with contextlib.suppress(OSError):
    extra: tuple[int, int, bytes]
    address: tuple[object, ...] = (peer, 0)
    if ends.family == socket.AF_INET:
      source = struct.pack("=i4s4s", 0, ends.guest, bytes(4))
      extra = (socket.IPPROTO_IP, _IP_PKTINFO, source)
    else:
      index = socket.if_nametoindex(interface)
      source = struct.pack("=16si", ends.guest, index)
      extra = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source)
      address = (peer, 0, 0, index)
    for _ in range(_TIMES):
      sender.sendmsg([text], [extra], 0, address)
