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

"""AppArmor: whether the node has it, and the profile of a guest."""

from .host import Host, read_optional

# In force on Debian by lxc's own package; LXC would take it by itself, but
# a configuration that names it says so to whoever reads it.
DEFAULT_PROFILE = "lxc-container-default-cgns"


def enabled(host: Host) -> bool:
  """Whether the kernel enforces AppArmor profiles."""
  path = host.sys / "module/apparmor/parameters/enabled"
  return (read_optional(path) or "").strip() == "Y"


def profile(host: Host, wanted: str) -> str:
  """The profile to configure, "" where the kernel has no AppArmor.

  LXC refuses to restore a container whose configuration names a profile
  when there is no AppArmor ("apparmor LSM specified but not supported").

  @param wanted: the parameter's value, "" for the default

  """
  if not enabled(host):
    return ""
  return wanted or DEFAULT_PROFILE
