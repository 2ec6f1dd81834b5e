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

"""A guest's firewall, which CRIU makes anew in the language of nft(8).

It saves what C{nft list ruleset} says (criu/net.c).  Of rules that iptables has
made for the kernel's nf_tables, which is what Debian's does, that is either not
all: iptables finds its tables "incompatible" afterwards, and cannot change
them; or nothing that nft could read again: a rule with "-m recent", as
C{ufw limit} makes, is a comment, and the guest was lost.  So tables of iptables
are saved and restored by iptables, and are taken out of CRIU's image before it
reads it.

That is tried first, in a network of its own, for iptables saves others' rules
in its tables, too, and not as they are: of C{ip saddr {192.0.2.7, 192.0.2.9}
drop} it makes "-j DROP" (1.8.11).  What nobody can make again is found before
the guest is stopped: sets of ipset(8) are in no image, for example.

An old iptables (legacy) has tables of its own in the kernel.  These CRIU saves
from 4.0 on, if at all; they are made once more by what made them.

"""

import json
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..command import Result
from ..errors import Failed, LxcError, Refused, one_line
from ..host import Host, read_optional
from . import netns

_log = logging.getLogger(__name__)

Table = tuple[str, str]

# Of a family of nf_tables: what begins the names of programs, and the file.
_PROGRAMS = {"ip": "iptables", "ip6": "ip6tables"}
_OF_CRIU = "nftables-*.img"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_BLOCK = re.compile(r"^\t(\S[^\n]*) \{\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_COUNTED = re.compile(r"packets \d+ bytes \d+")
_COMMENT = re.compile(r"^\t\t.*# xt_.*$", re.MULTILINE)
_SECTION = re.compile(r"^\*([a-z]+)$", re.MULTILINE)
_SET = re.compile(r"^-A .*(--match-set|-j SET) .*$", re.MULTILINE)
# In /proc/PID/net, if there is any table.
_LEGACY = {"iptables": "ip_tables_names", "ip6tables": "ip6_tables_names"}
_CHECK = 'nft list table "$1" "$2" | nft -c -f -'
_TRY_IPTABLES = """\
"$1"-nft-save -t "$3" | unshare --net sh -c '
"$1"-nft-restore && exec nft list table "$2" "$3"' sh "$@"
"""
_SAVE = '"$1"-nft-save -c -t "$3" >>"$2"'
_RESTORE = '"$1"-nft-restore -c <"$2"'
_SAVE_LEGACY = '"$1"-legacy-save -c >"$2"'
_RESTORE_LEGACY = '"$1"-legacy-restore -w -c <"$2"'
_NO_SUCH_PROGRAM = 127
_TIMEOUT_S = 30.0


def check(host: Host, name: str, init: int) -> list[Table]:
  """Whether the guest's rules can be made again.

  @param init: the guest's process 1
  @return: what iptables is to make
  @raise Refused: they cannot

  """
  _check_legacy(host, name, init)
  own = []
  for family, table in _tables(host, name, init):
    if not _NAME.fullmatch(table):
      raise _refused(name, f"a table of nf_tables is named {table!r}")
    listed = _run(host, init, ["nft", "list", "table", family, table]).stdout
    if _is_of_iptables(host, init, (family, table), listed):
      own.append((family, table))
    else:
      _check_readable(host, name, init, (family, table), listed)
  return own


def save(host: Host, name: str, init: int, images: Path) -> None:
  """Notes what iptables has made among CRIU's images.

  @param init: the guest's process 1
  @raise Refused: see check
  @raise Failed: it cannot be saved

  """
  for family, table in check(host, name, init):
    program = _PROGRAMS[family]
    _act(host, init, _SAVE, program, str(_file(images, program)), table)
  for program in _legacy(host, init):
    _act(host, init, _SAVE_LEGACY, program, str(_old_file(images, program)))


def mend_images(images: Path) -> None:
  """Before CRIU reads them: takes out what L{restore} brings.

  @raise OSError: it cannot be done

  """
  own = [
    (family, table)
    for family, program in _PROGRAMS.items()
    for table in _saved(images, program)
  ]
  for path in images.glob(_OF_CRIU) if own else ():
    text = path.read_bytes()
    left = without(text, own)
    if left != text:
      # CRIU takes an image that is not there for one without rules.
      path.write_bytes(left) if left.strip(b"\0\n") else path.unlink()


def without(rules: bytes, tables: Iterable[Table]) -> bytes:
  """What C{nft list ruleset} says, without some tables."""
  for family, table in tables:
    block = rf"^table {family} {re.escape(table)} \{{\n.*?^\}}\n?"
    pattern = re.compile(block.encode(), re.MULTILINE | re.DOTALL)
    rules = pattern.sub(b"", rules)
  return rules


def restore(host: Host, init: int, images: Path) -> None:
  """Makes the tables of iptables; CRIU has made the others.

  @raise Failed: not all rules are there, so the guest may not run

  """
  for program in _PROGRAMS.values():
    file, old = _file(images, program), _old_file(images, program)
    if file.exists():
      _act(host, init, _RESTORE, program, str(file))
    if old.exists():
      _act(host, init, _RESTORE_LEGACY, program, str(old))


def _act(host: Host, init: int, script: str, *words: str) -> None:
  done = _run(host, init, ["sh", "-c", script, "sh", *words])
  if done.failed:
    raise Failed(
      "The firewall of an instance cannot be saved or restored",
      evidence=one_line(done.evidence()),
      remedy="have the same version of iptables on both nodes",
    )


def _tables(host: Host, name: str, init: int) -> Iterator[Table]:
  """Family and name of all that nf_tables has."""
  done = _run(host, init, ["nft", "-j", "list", "tables"])
  if done.status == _NO_SUCH_PROGRAM:
    raise _refused(name, "its firewall cannot be looked at", "install nftables")
  if done.failed:
    # A kernel without nf_tables has no such rules.
    _log.info("Instance %s: %s", name, done.evidence())
    return
  try:
    for entry in json.loads(done.stdout)["nftables"]:
      if "table" in entry:
        yield str(entry["table"]["family"]), str(entry["table"]["name"])
  except (ValueError, KeyError, TypeError) as err:
    raise _refused(name, f"nft answered {one_line(done.stdout)}") from err


def _is_of_iptables(host: Host, init: int, table: Table, listed: str) -> bool:
  """Whether iptables makes the same table of what it saves of this one."""
  program = _PROGRAMS.get(table[0])
  if program is None:
    return False
  words = ["sh", program, *table]
  made = _run(host, init, ["sh", "-c", _TRY_IPTABLES, *words])
  return not made.failed and is_same(listed, made.stdout)


def is_same(table: str, other: str) -> bool:
  """Whether another table has all that one has.

  More chains may be there: iptables makes all that there can be.

  @param table: what C{nft list table} says

  """
  blocks, others = _blocks(table), _blocks(other)
  return bool(blocks) and all(others.get(k) == v for k, v in blocks.items())


def _blocks(table: str) -> dict[str, str]:
  return dict(_BLOCK.findall(_COUNTED.sub("", table)))


def _check_legacy(host: Host, name: str, init: int) -> None:
  for program in _legacy(host, init):
    saved = _run(host, init, [f"{program}-legacy-save"])
    if saved.failed:
      raise _refused(name, saved.evidence(), "install iptables")
    found = _SET.search(saved.stdout)
    if found:
      raise _refused(name, f"a rule has a set of ipset: {found.group()}")


def _legacy(host: Host, init: int) -> list[str]:
  return [
    program
    for program, file in _LEGACY.items()
    if read_optional(host.proc / f"{init}/net/{file}")
  ]


def _check_readable(
  host: Host, name: str, init: int, table: Table, listed: str
) -> None:
  done = _run(host, init, ["sh", "-c", _CHECK, "sh", *table])
  if done.failed:
    raise _unreadable(name, table, done.stderr)
  # Up to 1.0.6 nft tells what it has no word for in a comment.
  found = _COMMENT.search(listed)
  if found:
    raise _unreadable(name, table, found.group())


def _unreadable(name: str, table: Table, said: str) -> Refused:
  return _refused(
    name,
    f"a rule of its firewall (table {' '.join(table)}) cannot be made again:"
    f" {one_line(said)}",
  )


def _sections(saved: str) -> list[str]:
  return _SECTION.findall(saved)


def _saved(images: Path, program: str) -> list[str]:
  return _sections(read_optional(_file(images, program)) or "")


def _file(images: Path, program: str) -> Path:
  return images / f"ganeti-{program}"


def _old_file(images: Path, program: str) -> Path:
  return images / f"ganeti-{program}-legacy"


def _run(host: Host, init: int, argv: list[str]) -> Result:
  try:
    return host.run([*netns.nsenter(host, init), *argv], timeout_s=_TIMEOUT_S)
  except LxcError as err:
    return Result(tuple(argv), _NO_SUCH_PROGRAM, "", str(err))


def _refused(name: str, evidence: str, remedy: str = "") -> Refused:
  return Refused(
    f"Instance {name} cannot be migrated live",
    evidence=evidence,
    remedy=f"{remedy or 'take it away and try again'}; gnt-instance failover"
    " moves the instance with a restart",
  )
