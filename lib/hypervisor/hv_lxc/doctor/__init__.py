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

"""What an administrator asks of a node and of a guest on it.

What keeps a guest from moving (C{blockers} has the rules of processes):

  guest.py         A guest as live migration sees it: values, no I/O
  reading.py       A guest, read from /proc without disturbing it
  filerules.py     Which open files CRIU cannot save, and why
  mountrules.py    Which mounts CRIU cannot make again, and why
  sessions.py      Which processes are in a session it cannot bring them into
  stray.py         Which UNIX sockets are not where their names say
  taken.py         What was removed, and whose name another has by now
  abilities.py     What this node's kernel and CRIU can do
  facts.py         What has to be alike on two nodes, and what differs
  elsewhere.py     To which nodes a guest could be moved, asked by ssh
  livecheck.py     Whether a node can take part in live migrations

What is told to people and programs:

  output.py        What the doctor found, as a table and as JSON
  program.py       The program ganeti-lxc-doctor
  figures.py       Figures of the instances on this node
  exposition.py    The text format of Prometheus
  counters.py      What the driver counts over the life of a node
  metrics.py       The program ganeti-lxc-metrics

"""
