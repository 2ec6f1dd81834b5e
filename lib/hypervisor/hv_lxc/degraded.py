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

"""What stands in when the driver itself cannot be imported.

ganeti.hypervisor imports every driver, so an error in this package would
take KVM, the node daemon and every job with it.  This class names the
reason in gnt-cluster verify and refuses.  What would show instances as
absent to whoever might start them elsewhere raises; what is asked for all
hypervisors at once answers with nothing.

"""

from typing import Any

from ganeti import errors
from ganeti.hypervisor import hv_base


def hypervisor_class(reason: str) -> type:
  """A hypervisor class that refuses everything for a reason."""
  text = (
    f"The LXC driver cannot be loaded: {reason}; reinstall it on this node"
    " and restart the node daemon"
  )

  def refuse(*_args: Any, **_kwargs: Any) -> Any:
    raise errors.HypervisorError(text)

  class LXCHypervisor(hv_base.BaseHypervisor):  # type: ignore[misc]
    """Refuses politely."""

    StartInstance = StopInstance = RebootInstance = refuse
    GetInstanceInfo = CleanupInstance = refuse
    MigrationInfo = AcceptInstance = MigrateInstance = refuse
    GetMigrationStatus = FinalizeMigrationDst = refuse
    FinalizeMigrationSource = BalloonInstanceMemory = refuse
    GetInstanceConsole = classmethod(refuse)

    def ListInstances(self, hvparams: Any = None) -> Any:
      """None is listed; L{GetInstanceInfo} tells that this is a lie."""
      return []

    def GetAllInstancesInfo(self, hvparams: Any = None) -> Any:
      """As L{ListInstances}; an error would hide other hypervisors'."""
      return []

    def GetNodeInfo(self, hvparams: Any = None) -> Any:
      """What Linux says."""
      return self.GetLinuxNodeInfo()

    def Verify(self, hvparams: Any = None) -> Any:
      """The reason."""
      return text

    @classmethod
    def CheckParameterSyntax(cls, hvparams: Any) -> Any:
      """Nothing is known about parameters."""

    @classmethod
    def ValidateParameters(cls, hvparams: Any) -> Any:
      """Nothing is known about parameters."""

    @classmethod
    def AssessParameters(cls, hvparams: Any) -> Any:
      """No advice."""
      return []

    @classmethod
    def GetAncillaryFiles(cls) -> Any:
      """None."""
      return ([], [])

    @classmethod
    def PowercycleNode(cls, hvparams: Any = None) -> Any:
      """As for any Linux node."""
      cls.LinuxPowercycle()

  return LXCHypervisor
