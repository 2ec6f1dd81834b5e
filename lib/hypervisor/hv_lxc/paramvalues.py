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

"""Reading hypervisor parameters one by one: names, defaults, types.

Ganeti may hand over less or more than this release knows, numbers as
strings (ssconf), and False for "no_NAME" on its command line.

"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import TypeVar

from . import capabilities, devices
from .errors import Refused

Values = Mapping[str, object]
_T = TypeVar("_T")

CPU_MASK = "cpu_mask"
DEVICES = "devices"
DISK_TYPE = "disk_type"
DROP_CAPABILITIES = "drop_capabilities"
EXTRA_CGROUPS = "extra_cgroups"
EXTRA_CONFIG = "extra_config"
MIGRATION_BANDWIDTH = "migration_bandwidth"
MIGRATION_CAPS = "migration_caps"
MIGRATION_DOWNTIME = "migration_downtime"
MIGRATION_MODE = "migration_mode"
MIGRATION_PORT = "migration_port"
NUM_TTYS = "num_ttys"
SECURITY_DOMAIN = "security_domain"
STARTUP_TIMEOUT = "startup_timeout"

DEFAULT_TIMEOUT_S = 30
MAX_TIMEOUT_S = 3600
MAX_TTYS = 64
_MAX_LENGTH = 16 << 10

# The stock driver's names and values (HVC_DEFAULTS), but for devices and
# drop_capabilities, which say themselves why they differ.  No value may
# have "=" (ssconf.py splits lines at it) or "%" (see _check_characters).
_STOCK: dict[str, object] = {
  CPU_MASK: "",
  DEVICES: devices.DEFAULT,
  DROP_CAPABILITIES: ",".join(capabilities.DEFAULT_DROP),
  EXTRA_CGROUPS: "",
  EXTRA_CONFIG: "",
  NUM_TTYS: 6,
  STARTUP_TIMEOUT: DEFAULT_TIMEOUT_S,
}

# Mode, port and bandwidth are those of Ganeti's KVM.  The downtime is not:
# memory is sent in rounds until the rest can be sent within it, and a
# container is not stopped, written, read and resumed within KVM's 30 ms.
_EXTENSIONS: dict[str, object] = {
  DISK_TYPE: "auto",
  MIGRATION_BANDWIDTH: 32,
  MIGRATION_CAPS: "",
  MIGRATION_DOWNTIME: 1000,
  MIGRATION_MODE: "live",
  MIGRATION_PORT: 8102,
  SECURITY_DOMAIN: "",
}

# A newer release may give these a meaning and store them in the cluster's
# configuration; a node that is not yet at that release takes no notice as
# long as they ask for nothing.
RESERVED = frozenset(
  {
    "blockdev_prefix",
    "cpu_cap",
    "cpu_cores",
    "cpu_sockets",
    "cpu_threads",
    "cpu_type",
    "cpu_weight",
    "cpuid",
    "disk_aio",
    "disk_cache",
    "disk_discard",
    "init_script",
    "kernel_args",
    "kernel_path",
    "mem_path",
    "nic_type",
    "pci_pass",
    "reboot_behavior",
    "root_path",
    "security_model",
    "serial_console",
    "usb_devices",
    "use_chroot",
    "use_guest_agent",
    "use_localtime",
    "user_shutdown",
    "vhost_net",
    "vif_script",
    "vif_type",
    "virtio_net_queues",
  }
)
NEUTRAL = frozenset({"", "0", "None", "False", "false"})

# Characters that end a line, act on a terminal, or cannot be written:
# controls, formats (bidirectional overrides), surrogates, line separators.
_UNWANTED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def defaults() -> dict[str, object]:
  """Names and values for C{HVC_DEFAULTS["lxc"]}."""
  return {**_STOCK, **_EXTENSIONS}


def about(name: str, value: str, parser: Callable[[str], _T]) -> _T:
  """Lets an error say which parameter it is about."""
  try:
    return parser(value)
  except Refused as err:
    raise Refused(
      f"Parameter {name}: {err.what}", evidence=err.evidence, remedy=err.remedy
    ) from err


def parsed(values: Values, name: str, parser: Callable[[str], _T]) -> _T:
  """A string made into something else.

  @raise Refused: names the parameter

  """
  return about(name, text(values, name), parser)


def _value(values: Values, name: str) -> object:
  value = values.get(name)
  return defaults()[name] if value is None else value


def text(values: Values, name: str) -> str:
  """A string that can be written anywhere, without blanks around it.

  @raise Refused: names the parameter

  """
  value = _value(values, name)
  if value is False:
    # "no_NAME" on Ganeti's command line.
    return ""
  if not isinstance(value, str):
    raise Refused(
      f"Parameter {name} ({value!r}) is not a string",
      remedy="write it in quotes, as JSON and Python do",
    )
  _check_characters(name, value)
  return value.strip()


def _check_characters(name: str, value: str) -> None:
  if len(value) > _MAX_LENGTH:
    raise Refused(
      f"Parameter {name} has {len(value)} characters, more than {_MAX_LENGTH}",
      remedy="extra_config can name a file" if name == EXTRA_CONFIG else "",
    )
  if "%" in value:
    raise Refused(
      f'Parameter {name} has a "%" in it',
      evidence=ascii(value),
      remedy="gnt-backup export writes parameters as Python's ConfigParser"
      " reads them, and would fail on it"
      + ("; put this in a file" if name == EXTRA_CONFIG else ""),
    )
  bad = sorted({c for c in value if unicodedata.category(c) in _UNWANTED})
  if bad:
    raise Refused(
      f"Parameter {name} has characters that cannot be printed",
      evidence=", ".join(map(ascii, bad[:5])),
      remedy="take them out",
    )


def number(values: Values, name: str, low: int, high: int) -> int:
  """A whole number; the default for an empty string.

  @raise Refused: it is none, or not from C{low} to C{high}

  """
  value = _value(values, name)
  found: int | None = None
  if isinstance(value, int) and not isinstance(value, bool):
    found = value
  elif isinstance(value, str) and value == "":
    return number({}, name, low, high)
  elif isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
    found = int(value)
  if found is None or not low <= found <= high:
    raise Refused(
      f"Parameter {name} ({value!r}) is not a whole number from {low} to {high}"
    )
  return found


def choice(values: Values, name: str, allowed: tuple[str, ...]) -> str:
  """One of several strings; the first for an empty one.

  @raise Refused: it is none of them

  """
  value = text(values, name) or allowed[0]
  if value not in allowed:
    choices = " or ".join(repr(one) for one in allowed)
    raise Refused(f"Parameter {name} ({value!r}) is not {choices}")
  return value
