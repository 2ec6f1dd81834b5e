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

"""A driver that cannot be imported takes nobody with it."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from ganeti import constants, errors, hypervisor
from ganeti.hypervisor import hv_base
from ganeti.hypervisor.hv_lxc import degraded

PACKAGE = "ganeti.hypervisor.hv_lxc"


@pytest.fixture
def cls() -> Any:
  return degraded.hypervisor_class("ImportError('no module named x')")


@pytest.fixture
def reimported(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
  """Imports the package once more, with a submodule that is broken.

  As the node daemon does, which imports everything.

  """
  monkeypatch.setitem(sys.modules, "ganeti.server.noded", sys)
  before = dict(sys.modules)
  defaults = dict(constants.HVC_DEFAULTS[constants.HT_LXC])

  def load(broken: str, error: Exception) -> ModuleType:
    for name in list(sys.modules):
      if name == PACKAGE or name.startswith(f"{PACKAGE}."):
        del sys.modules[name]
    sys.meta_path.insert(0, BrokenModule(f"{PACKAGE}.{broken}", error))
    return importlib.import_module(PACKAGE)

  yield load
  sys.meta_path[:] = [
    finder for finder in sys.meta_path if not isinstance(finder, BrokenModule)
  ]
  for name in list(sys.modules):
    if name.startswith(PACKAGE):
      del sys.modules[name]
  sys.modules.update(before)
  hypervisor.hv_lxc = before[PACKAGE]
  constants.HVC_DEFAULTS[constants.HT_LXC].clear()
  constants.HVC_DEFAULTS[constants.HT_LXC].update(defaults)


class BrokenModule:
  """Finds one module, which cannot be loaded."""

  def __init__(self, name: str, error: Exception) -> None:
    self.name = name
    self.error = error

  def find_spec(self, name: str, *_args: Any) -> Any:
    if name != self.name:
      return None
    return importlib.util.spec_from_loader(name, self)

  def create_module(self, _spec: Any) -> None:
    return None

  def exec_module(self, _module: ModuleType) -> None:
    raise self.error


# One of each layer.
SUBMODULES = (
  "driver",
  "errors",
  "kernelcheck",
  "migration.wire",
  "model",
  "paramtable",
)


@pytest.mark.parametrize("broken", SUBMODULES)
def test_any_submodule_may_be_broken(reimported: Any, broken: str) -> None:
  module = reimported(broken, ImportError("boom"))
  cls = module.LXCHypervisor
  assert issubclass(cls, hv_base.BaseHypervisor)
  assert "boom" in cls().Verify()


@pytest.mark.parametrize(
  "error",
  [
    SyntaxError("invalid syntax"),
    AttributeError("module has no attribute 'HV_LXC_NUM_TTYS'"),
    KeyError("lxc"),
    OSError(13, "Permission denied"),
  ],
  ids=lambda error: type(error).__name__,
)
def test_any_error_will_do(reimported: Any, error: Exception) -> None:
  module = reimported("driver", error)
  text = module.LXCHypervisor().Verify()
  assert type(error).__name__ in text
  assert "\n" not in text


def test_an_instance_is_not_taken_for_absent(cls: Any) -> None:
  """A failover would start a second copy of one that still runs."""
  with pytest.raises(errors.HypervisorError, match="no module named x"):
    cls().GetInstanceInfo("web1")


def test_other_hypervisors_instances_are_still_listed(cls: Any) -> None:
  assert cls().ListInstances() == []
  assert cls().ListInstances(hvparams={}) == []
  assert cls().GetAllInstancesInfo(hvparams={}) == []


def test_parameters_are_not_judged(cls: Any) -> None:
  cls.CheckParameterSyntax({"anything": 1})
  cls.ValidateParameters({"anything": 1})
  assert cls.AssessParameters({}) == []
  assert cls.GetAncillaryFiles() == ([], [])


@pytest.mark.parametrize(
  ("name", "arguments"),
  [
    ("StartInstance", (None, [], False)),
    ("StopInstance", (None, True, False, "web1", None)),
    ("CleanupInstance", ("web1",)),
    ("RebootInstance", (None,)),
    ("MigrationInfo", (None,)),
    ("AcceptInstance", (None, None, None)),
    ("MigrateInstance", (None, None, None, True)),
    ("GetMigrationStatus", (None,)),
    ("FinalizeMigrationSource", (None, True, True)),
    ("FinalizeMigrationDst", (None, None, True)),
    ("BalloonInstanceMemory", (None, 1)),
    ("GetInstanceConsole", (None, None, None, {}, {})),
  ],
)
def test_everything_else_is_refused_with_the_reason(
  cls: Any, name: str, arguments: tuple[Any, ...]
) -> None:
  with pytest.raises(errors.HypervisorError, match="no module named x"):
    getattr(cls(), name)(*arguments)


def test_no_method_is_left_that_is_not_implemented(cls: Any) -> None:
  for name, method in inspect.getmembers(hv_base.BaseHypervisor, callable):
    if name[0].isupper() and "NotImplementedError" in inspect.getsource(method):
      assert getattr(cls, name) is not method, name
