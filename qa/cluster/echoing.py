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


"""Guests that send back what they are sent, for a client that counts."""

from cluster.cluster import Instance

PORT = 7000
PERL = "/usr/local/lib/echo.pl"
# With what every Debian has.  systemd kills it unless it gives signs of life,
# and has it ignore SIGPIPE (systemd.exec(5), IgnoreSIGPIPE=).
PROGRAM = """\
use IO::Select;
use IO::Socket::INET;
use Socket;
$SIG{CHLD} = "IGNORE";
my ($notify, $systemd);
if ($ENV{NOTIFY_SOCKET}) {
  socket $notify, AF_UNIX, SOCK_DGRAM, 0 or die $!;
  $systemd = sockaddr_un $ENV{NOTIFY_SOCKET};
}
my $door = IO::Socket::INET->new(
  LocalPort => 7000, Listen => 5, ReuseAddr => 1) or die $!;
my $knocks = IO::Select->new($door);
while (1) {
  send $notify, "WATCHDOG=1", 0, $systemd if $notify;
  $knocks->can_read(2) or next;
  my $line = $door->accept or next;
  next if fork;
  while (sysread $line, my $text, 65536) {
    for (my $done = 0; $done < length $text;) {
      $done += syswrite($line, $text, length($text) - $done, $done) // exit;
    }
  }
  exit;
}
"""
_UNIT = """\
[Unit]
Description=Sends back what it is sent
[Service]
User=www-data
ExecStart=/usr/bin/perl /usr/local/lib/echo.pl
WatchdogSec=1min
"""
_DETACHED = "exec >/dev/null 2>&1 </dev/null; setsid {} &"


def _write(instance: Instance, path: str, text: str) -> None:
  instance.node.run(
    *instance.attach_argv("/bin/sh", "-c", f"cat >{path}"), stdin=text
  )


def write_program(instance: Instance) -> None:
  """Puts the program into a guest that has Perl."""
  _write(instance, PERL, PROGRAM)


def by_busybox(instance: Instance) -> None:
  """By nc of busybox."""
  instance.inside(_DETACHED.format(f"nc -ll -p {PORT} -e /bin/cat"))


def by_perl(instance: Instance) -> None:
  """By a program of root's that nobody watches."""
  write_program(instance)
  instance.inside(_DETACHED.format(f"perl {PERL}"))


def by_systemd(instance: Instance) -> None:
  """By the unit "echo", a daemon of another user, watched by systemd."""
  write_program(instance)
  _write(instance, "/etc/systemd/system/echo.service", _UNIT)
  instance.inside("systemctl start echo")
