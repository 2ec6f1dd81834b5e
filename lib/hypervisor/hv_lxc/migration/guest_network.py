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

"""What CRIU leaves out of a guest's network, and what it trips over.

net_settings.py      What a guest has set for its network as a whole
net_tables.py        Routes, rules and neighbours that CRIU does not save
kept_addresses.py    Its addresses of IPv6, which are not asked for again
absent_addresses.py  Connections that cannot be made again as they are
links.py             Interfaces that it cannot make again
firewall.py          Rules that iptables has made
memberships.py       Multicast groups that sockets have joined
half_closed.py       Connections that CRIU has take their peer for full
netlock.py           Rules that an old CRIU forgets

"""

from pathlib import Path

from .. import hierarchies
from ..errors import Failed
from ..host import Host
from . import (
  absent_addresses,
  firewall,
  half_closed,
  kept_addresses,
  links,
  memberships,
  net_settings,
  net_tables,
  netlock,
)


def check(host: Host, name: str, init: int) -> None:
  """Whether the guest's network can be made again.

  @raise Refused: with what cannot

  """
  links.check(host, name, init)
  firewall.check(host, name, init)
  absent_addresses.check(host, name, init)


def save(host: Host, name: str, init: int, images: Path) -> None:
  """Notes it among CRIU's images; the guest may run.

  @param init: the guest's process 1
  @raise Refused: see check
  @raise Failed: it cannot be done

  """
  # Not among the images, which are sent as soon as they are there.
  batch = images.with_name("addresses")
  links.mend(host, name, init, batch)
  absent_addresses.check(host, name, init)
  kept_addresses.keep(host, name, init, batch)
  firewall.save(host, name, init, images)
  try:
    net_settings.save(host, init, images)
    net_tables.save(host, name, init, images)
    # Last: the guest may open and close sockets until it stands still.
    memberships.save(host, name, init, images)
  except OSError as err:
    raise _failed(name, err) from err


def save_connections(host: Host, name: str, init: int, images: Path) -> None:
  """Notes them among CRIU's images; the guest stands still.

  @raise Refused: CRIU cannot make one of them again
  @raise Failed: it cannot be done

  """
  try:
    absent_addresses.save(host, name, init, images)
  except OSError as err:
    raise _failed(name, err) from err


def mend_images(name: str, images: Path) -> None:
  """Before CRIU reads them.

  @raise Failed: it cannot be done

  """
  try:
    net_tables.mend_images(images)
    firewall.mend_images(images)
  except OSError as err:
    raise _failed(name, err) from err


def prepare(host: Host, name: str, init: int, images: Path) -> None:
  """Before sockets are made; interfaces, addresses and routes are there.

  @raise Failed: it cannot be done

  """
  try:
    net_settings.restore(host, init, images)
    net_tables.restore(host, name, init, images)
    firewall.restore(host, init, images)
    absent_addresses.make_local(host, name, init, images)
  except OSError as err:
    raise _failed(name, err) from err


def complete(host: Host, name: str, init: int, images: Path) -> None:
  """When all sockets are there and the guest does not run yet.

  @raise Failed: it cannot be done

  """
  netlock.end_restored(host, images, name, init)
  absent_addresses.give_up(host, name, init, images)
  try:
    net_settings.complete(host, init, images)
  except OSError as err:
    raise _failed(name, err) from err
  half_closed.mend(host, hierarchies.find(host), name, init)


def join_groups(host: Host, name: str, init: int, images: Path) -> None:
  """When the guest is connected and does not run yet.

  Its kernel says a few times within about a second that it has joined, and
  then waits to be asked (igmp_group_added, net/ipv4/igmp.c): a switch that
  minds who hears what would not know of it.

  """
  memberships.restore(host, name, init, images)


def _failed(name: str, err: OSError) -> Failed:
  return Failed(
    f"The network of instance {name} cannot be looked into",
    evidence=str(err),
  )
