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

"""LXC containers as instances of a Ganeti cluster.

Ganeti's side:

  driver.py        LXCHypervisor: the CamelCase face that Ganeti calls
  driver_migration.py  The part of it that moves running instances
  driver_errors.py How errors leave the driver
  late.py          Modules that are imported when they are first needed
  packaged.py      Scripts of this package, as they were at the process's start
  this_node.py     This node, with the directories of this Ganeti
  translate.py     From Ganeti's objects to this package's values
  degraded.py      What stands in when the driver itself cannot be imported
  console_main.py  The program behind gnt-instance console

The stories: what happens to a container:

  starting.py      Start an instance
  stopping.py      Stop, and take away all that was there for an instance
  growth.py        A disk has grown: let the running guest have the room
  lxcfiles.py      The files in an instance's directory for LXC
  ended.py         Instances that came to their end by their own will
  terminals.py     Which terminal of the guest a console meets
  winsize.py       The size of the terminal from which a console is used
  balloon.py       Memory limits of a running guest, made larger or smaller
  balloon_v1.py    A memory limit of cgroup v1
  balloon_v2.py    A memory limit of cgroup v2
  balloon_types.py What the two ways to change a memory limit have in common
  report.py        What the node tells Ganeti: what runs, what it uses
  verify.py        What a node lacks, one line each, with its remedy
  kernelcheck.py   What the running kernel can do; as lxc-checkconfig
  cgroupcheck.py   Whether the control groups of a node can hold instances
  storagecheck.py  Whether disks can be mapped, mounted and enlarged on a node
  lvmcheck.py      Whether LVM keeps away from what is on guests' disks
  udevcheck.py     Whether udev keeps away from what is on guests' disks
  node.py          A node under examination, and one question to it
  blockers.py      What stands in the way of moving a running guest
  doctor/          What an administrator asks of a node and of a guest

The edges: one outside thing each:

  command.py       The one door through which programs are started
  pidfd.py         A process, held on to by a descriptor
  procfs.py        What the kernel tells of single processes
  host.py          The node, as everybody below the driver is handed it
  lxccli.py        The lxc-* tools: what is asked of them and what they answer
  lxclog.py        What LXC wrote to its log: the evidence of a failed start
  versions.py      Which LXC and CRIU are installed, and which may meet
  cgroup.py        What runs, told by the kernel's control groups alone
  cgtree.py        Walks over group trees that a hostile guest may have shaped
  hierarchies.py   Where the control groups are
  freezer.py       Pausing a guest: the v1 freezer and cgroup.freeze of v2
  disks.py         From what Ganeti hands over to what the guest gets
  partitions.py    The edge to ganeti.storage.kpartx
  mounts.py        File systems on and off the host, and what is mounted now
  mountinfo.py     What is mounted, as the kernel tells it
  guestfs.py       A look into a guest's file system, which is hostile
  nic_links.py     The host ends of NICs
  uplinks.py       The VLANs of a bridge's uplinks
  apparmor.py      AppArmor: whether the node has it, and the profile of a guest
  devnodes.py      The nodes in the guest's /dev for the devices that it may use
  extrafile.py     Files with LXC keys that root put on the node
  hold.py          Holds a guest at the very first instruction of its init

What a container is: values and text:

  model.py         What a container is: values, no I/O
  errors.py        What can go wrong, in three families
  layout.py        Every path that belongs to an instance
  record.py        What was attached for an instance, and how far
  request.py       What Ganeti wants to run
  lxcconf.py       LXC's configuration file as text: a pure function of values
  limits.py        An instance's limits as LXC configuration
  cpus.py          CPU lists, Ganeti's CPU masks, and the CPUs of the node
  ssconf.py        What Ganeti tells every node of the cluster
  seccomp.py       The system calls that the host must not serve
  fstab.py         The /etc/fstab that a guest finds
  guests.py        The manners of init programs: what makes them halt and reboot
  nics.py          NICs: names, configuration, scripts' environment

Parameters:

  params.py        Syntax, defaults, what an instance may ask for
  paramtable.py    Ganeti's tables of parameters, filled
  paramvalues.py   Reading parameters one by one
  capabilities.py  Names, and which ones a guest loses by default
  devices.py       The device allow-list
  extraconf.py     The parameter extra_config
  extrakeys.py     Which keys may be added, and with which values

The files *.sh are run by LXC's monitor; see starting.py.

"""

try:
  from .driver import LXCHypervisor
except Exception as err:
  import logging

  logging.exception("The LXC driver cannot be loaded")
  from .degraded import hypervisor_class

  LXCHypervisor = hypervisor_class(repr(err))  # type: ignore[assignment,misc]

__all__ = ["LXCHypervisor"]
