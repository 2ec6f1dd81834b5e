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

"""Live migration: a running guest goes to another node.

The story:

  calls.py       What Ganeti calls, in its own order
  before_start.py  Whether Ganeti may begin to start an instance here
  preflight.py   What can be known before anything is changed
  source.py      The process on the node that the guest leaves
  precopy.py     Copies memory in rounds while the guest still runs
  sending.py     What the source sends, in its order
  target.py      The process on the node that it comes to
  turns.py       Which connection brings what, in that process
  source_main.py The program of the one
  target_main.py The program of the other
  answering.py   Who may still ask a node, and where it listens
  guest_disks.py The disks that a running guest has, not those of Ganeti's list
  daemons.py     How these processes are started, and which there are
  acts.py        The hands of the protocol on a node
  taking_life.py Kills a guest's processes while they are stopped
  peer.py        The question who has the token
  listing.py     Which instances a node shows to Ganeti meanwhile
  underway.py    For which migrations Ganeti may call this node at any moment
  task.py        What a node needs to know to play its part
  progress.py    How far it is, for whoever asks

What may happen, and what follows; no I/O:

  states.py      The words of the protocol: states, events, acts, steps
  table.py       The one transition table of a live migration
  rows.py        What its rows are made of
  protocol.py    What follows from the table: predicates, the meaning of an id

The executor:

  policy.py      Whether another round of pre-copy pays
  journal.py     What a node durably knows about an instance's migration
  reserve.py     Room set aside, so that a journal can be written
  machine.py     Executes the table: looks up, writes durably, acts in order

Between the nodes:

  connecting.py  The ways to the target
  listener.py    Where the target waits for it
  handshake.py   How a connection begins, on both sides
  auth.py        Both sides prove that they know a migration's secret
  tls.py         The encrypted connection, pinned to the node certificate
  channel.py     The connection, for messages
  closing.py     What is closed at the end of its with block
  messages.py    What the two nodes of a migration say to each other
  message_fields.py  What their fields can be
  wire.py        Frames: how messages between the two nodes are written
  waiting.py     Waits that another thread can end
  stream.py      Sends files, also while they are written
  intake.py      Receives them
  manifest.py    What was sent, for comparison
  pace.py        How fast to send, and whether to compress

CRIU and what it leaves to others:

  dump.py            Turns a running guest into files
  restore.py         Brings a guest to life again from what dump.py made
  criu.py            CRIU's command lines, and what its log says of a failure
  criu_processes.py  CRIU's processes that work for a migration
  orphaned.py        Ends a CRIU that waits for tasks which have died
  zombies.py         Processes that have ended, with which no restore does
  stalled.py         Ends a CRIU that has stopped getting anywhere
  held.py            A program that asks, at its stages, whether it may go on
  instance_files.py  The files that the monitor and the hooks live from
  guest_network.py   What CRIU leaves out of a guest's network
  net_settings.py    What a guest has set for its network as a whole
  net_tables.py      Routes, rules and neighbours that CRIU does not save
  route_dump.py      Routes, as "ip route save" writes them; no I/O
  links.py           Interfaces that CRIU cannot make again
  firewall.py        Rules that iptables has made
  kept_addresses.py  Has a guest keep its IPv6 addresses without asking again
  absent_addresses.py  Connections that cannot be made again as they are
  memberships.py     Multicast groups that sockets have joined
  multicast_tables.py  Those of a guest, by interface
  multicast_sockets.py  Those of a socket, and how it sends
  half_closed.py     Has half closed connections send at once
  sockets.py         Sockets of a guest's processes, by duplicates
  netns.py           The guest's network, as seen by a program or a thread
  netlock.py         Gives a guest back its network when CRIU was killed
  group_tree.py      The control groups that a guest has made, on v2
  enforce.py         What LXC sets at a start and not at a restore
  device_program.py  A list of allowed devices as a program for the kernel
  delegation.py      Keeps the boundary of what a guest may do to its groups
  pressure.py        Has programs told again when memory gets tight
  reload.py          Has systemd find out again which process is which
  watchdogs.py       Tells systemd once, for its services, that they live
  announce.py        Tells the network that a guest is elsewhere now
  send_frames.py     Sends frames; run in a guest's network
  wake_peers.py      Has peers send again at once what was lost meanwhile
  unreachable.py     What tells them that it was lost; no I/O
  checksum.py        The checksum of IP

"""
