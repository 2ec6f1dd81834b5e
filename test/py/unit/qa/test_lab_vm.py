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


"""The lab's virtual machines: what needs no machine."""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from ganeti_lab import (
  cluster,
  command,
  host,
  plan,
  state,
  vm_host,
  vm_image,
  vm_install,
  vm_machine,
  vm_node,
  vm_qemu,
  vm_snapshot,
)
from ganeti_lab.errors import LabError
from ganeti_lab.progress import Progress
from ganeti_lab.vm_qemu import VmState

LAB = plan.LabPlan("lab", 3)
MACHINE = vm_qemu.Machine(
  name="node1",
  accelerator="tcg",
  memory=1024,
  kernel=pathlib.Path("/image/vmlinuz"),
  initrd=pathlib.Path("/image/initrd.img"),
  disks=(
    vm_qemu.Disk(pathlib.Path("/data/root.qcow2"), "qcow2"),
    vm_qemu.Disk(pathlib.Path("/data/seed.tar"), "raw", read_only=True),
  ),
  tap="tap-node1",
  mac="02:00:00:00:00:01",
  monitor=pathlib.Path("/run/node1.qmp"),
  console=pathlib.Path("/run/node1.console"),
  arguments=("systemd.hostname=node1",),
)


class TestCommandLine:
  def test_disks_keep_their_order(self) -> None:
    drives = [w for w in vm_qemu.argv(MACHINE) if w.startswith("if=none")]
    assert [("root.qcow2" in d, "read-only=on" in d) for d in drives] == [
      (True, False),
      (False, True),
    ]

  def test_kernel_arguments(self) -> None:
    words = vm_qemu.argv(MACHINE)
    assert words[words.index("-append") + 1].endswith("systemd.hostname=node1")

  def test_network_of_this_machine(self) -> None:
    words = vm_qemu.argv(dataclasses.replace(MACHINE, tap=vm_qemu.USER_NETWORK))
    assert words[words.index("-netdev") + 1].startswith("user,")

  @pytest.mark.parametrize(("tap", "cards"), [("tap-node1", 1), ("", 0)])
  def test_card(self, tap: str, cards: int) -> None:
    words = vm_qemu.argv(dataclasses.replace(MACHINE, tap=tap))
    assert len([w for w in words if w.startswith("virtio-net")]) == cards

  def test_hardware_acceleration_uses_the_hosts_processor(self) -> None:
    words = vm_qemu.argv(dataclasses.replace(MACHINE, accelerator="kvm"))
    assert words[words.index("-cpu") + 1] == "host"


class Monitor:
  """A QEMU that answers one connection with the lines given."""

  def __init__(self, path: pathlib.Path, *answers: object) -> None:
    self._socket = socket.socket(socket.AF_UNIX)
    self._socket.bind(str(path))
    self._socket.listen()
    self._answers = answers
    self._thread = threading.Thread(target=self._serve)
    self._thread.start()

  def _serve(self) -> None:
    connection, _ = self._socket.accept()
    with connection, connection.makefile("rw") as stream:
      stream.write('{"QMP": {}}\n')
      for answer in self._answers:
        stream.flush()
        connection.recv(4096)
        stream.write(f"{json.dumps(answer)}\n")

  def close(self) -> None:
    self._thread.join(5)
    self._socket.close()


class TestMonitor:
  @pytest.mark.parametrize(
    ("answer", "expected"),
    [
      ({"return": {"status": "running"}}, VmState.RUNNING),
      ({"return": {"status": "guest-panicked"}}, VmState.PANICKED),
      ({"return": {"status": "paused"}}, VmState.PAUSED),
      ({"return": {"status": "internal-error"}}, VmState.HUNG),
      ({"error": {"desc": "no"}}, VmState.HUNG),
      ({"event": "RESUME"}, VmState.HUNG),
    ],
  )
  def test_run_state(
    self, tmp_path: pathlib.Path, answer: object, expected: VmState
  ) -> None:
    path = tmp_path / "qmp"
    monitor = Monitor(path, {"return": {}}, answer)
    assert vm_qemu.run_state(path) is expected
    monitor.close()

  def test_no_monitor(self, tmp_path: pathlib.Path) -> None:
    assert vm_qemu.run_state(tmp_path / "qmp") is VmState.HUNG

  def test_silent_monitor(
    self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    monkeypatch.setattr(vm_qemu, "_MONITOR_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
      silent.bind(str(tmp_path / "qmp"))
      silent.listen()
      assert vm_qemu.run_state(tmp_path / "qmp") is VmState.HUNG


class TestRemote:
  @pytest.fixture(autouse=True)
  def programs(self, program_guard: Any) -> Iterator[None]:
    """What is tested is what a real shell makes of it."""
    with program_guard.opened():
      yield

  def test_words_survive_the_shell(self) -> None:
    words = ["sh", "-c", "printf '%s|' \"$@\"; exit 7", "x", "a b", "$HOME", ""]
    text = command.run(
      "shell",
      ["sh", "-c", f"({vm_node.remote(words)}); echo $?"],
    )
    assert text == "a b|$HOME||7\n"

  def test_a_signal_shows_in_the_status(self) -> None:
    killed = vm_node.remote(["sh", "-c", "kill -TERM $$"])
    text = command.run("shell", ["sh", "-c", f"({killed}); echo $?"])
    assert text.endswith("143\n")

  def test_environment_is_that_of_a_namespaced_node(self) -> None:
    text = command.run("shell", ["sh", "-c", vm_node.remote(["env"])])
    assert "LC_ALL=C.UTF-8" in text.splitlines()
    assert f"PATH={command.SANE_PATH}" in text.splitlines()
    assert "\nTERM=" not in vm_node.remote(["env"]).replace(" ", "\n")

  def test_marked_processes_get_the_signal(self) -> None:
    mark = "GANETI_LAB_EXEC=unit-test"
    script = (
      f"({vm_node.remote(['sleep', '60'], mark)}) & child=$!;"
      f" until grep -qzx {mark} /proc/$(pgrep -P $child)/environ; do :; done;"
      f" {vm_node.kill_script(mark, 15)}; wait $child; echo $?"
    )
    assert command.run("shell", ["bash", "-c", script]).endswith("143\n")

  def test_last_lines_have_no_control_characters(self) -> None:
    text = "old\n\x1b[0;32m  OK  \x1b[0m Started\r\n\x1bM\r\x1b[K\n\nend\x07\n"
    assert vm_node.last_lines(text, 2) == ["OK   Started", "end"]

  def test_host_key_is_checked(self) -> None:
    words = vm_node.ssh_argv(LAB, "node2", pathlib.Path("/run"), ["-tt"])
    assert "-oStrictHostKeyChecking=yes" in words
    assert words[-2:] == ["-tt", f"root@{LAB.address('node2')}"]


class TestNode:
  def test_a_lab_that_is_down_is_told(self) -> None:
    with pytest.raises(LabError, match="node1 of lab 'nosuch' is stopped"):
      vm_node.VmNode("nosuch", "node1").argv(["true"])

  @pytest.mark.parametrize(
    ("status", "expected"),
    [(None, "stopped"), ("0\n", "stopped"), ("137\n", "crashed")],
  )
  def test_end_of_qemu(
    self,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    status: str | None,
    expected: str,
  ) -> None:
    monkeypatch.setattr(vm_node, "STATE_ROOT", tmp_path)
    node = vm_node.VmNode("nosuch", "node1")
    node.exit_file.parent.mkdir()
    if status is not None:
      node.exit_file.write_text(status)
    assert node.state == expected


class TestDriver:
  @pytest.fixture(autouse=True)
  def programs(self, program_guard: Any) -> Iterator[None]:
    """What is tested is what a real shell makes of it."""
    with program_guard.opened():
      yield

  def archive(self, upper: pathlib.Path, *names: str) -> bytes:
    for name in names:
      (upper / name).parent.mkdir(parents=True, exist_ok=True)
      (upper / name).write_text(name)
    return vm_install._archive(upper)

  def test_a_file_that_an_older_driver_had_goes(
    self, tmp_path: pathlib.Path
  ) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for number, names in enumerate((("lib/a", "lib/b"), ("lib/b", "lib/c"))):
      data = self.archive(tmp_path / str(number), *names)
      command.run(
        "unpack", ["sh", "-ec", vm_install.script(str(root))], stdin=data
      )
    assert sorted(p.name for p in (root / "lib").iterdir()) == ["b", "c"]


class TestSetUp:
  def test_the_first_node_serves_the_shared_directory(self) -> None:
    first, second = (
      vm_machine.set_up_script(LAB, name) for name in ("node1", "node2")
    )
    assert f"{LAB.network}.0/24" in first
    assert f"mount {plan.SHARED_FILE_STORAGE}" in second
    assert "vgcreate" in first
    assert "vgcreate" in second

  def test_a_single_node_serves_nobody(self) -> None:
    script = vm_machine.set_up_script(plan.LabPlan("lab", 1), "node1")
    assert "nfs" not in script

  def test_addresses(self) -> None:
    files = vm_machine.network_files(LAB, "node3")
    assert any(
      f"Address={LAB.address('node3')}/24" in text for text in files.values()
    )

  def test_block_templates(self) -> None:
    argv = cluster.init_argv(vm_machine.STORAGE)
    assert "--vg-name=xenvg" in argv
    assert not [w for w in argv if w == cluster.FILES[0]]

  def test_listing_of_guests_changes_with_a_link(
    self, tmp_path: pathlib.Path
  ) -> None:
    (tmp_path / "busybox").symlink_to("busybox-1")
    before = vm_machine.guests_listing(tmp_path)
    (tmp_path / ".lock").touch()
    assert vm_machine.guests_listing(tmp_path) == before
    (tmp_path / "busybox").unlink()
    (tmp_path / "busybox").symlink_to("busybox-2")
    assert vm_machine.guests_listing(tmp_path) != before


class TestSnapshot:
  STOCK = vm_image.VmImage(pathlib.Path("/cache/vm-trixie"))
  INIT = ("gnt-cluster", "init")

  @pytest.fixture(autouse=True)
  def qemu(self, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_snapshot.command, "run", lambda *_: "version 10")

  def place(self, name: str = "one", nodes: int = 2, memory: int = 1024) -> str:
    hardware = vm_machine.Hardware(memory)
    lab = state.State(name, "trixie", nodes, driver=True, backend="vm").plan
    return str(vm_snapshot.place(lab, hardware, self.STOCK, self.INIT))

  def test_any_lab_goes_on_from_it(self) -> None:
    assert self.place() == self.place("two")

  def test_it_goes_with_its_image(self) -> None:
    assert self.place().startswith(f"{self.STOCK.directory}/")

  def test_another_shape_needs_another(self) -> None:
    shapes = {self.place(), self.place(nodes=3), self.place(memory=2048)}
    assert len(shapes) == 3

  def test_another_qemu_needs_another(
    self, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    before = self.place()
    monkeypatch.setattr(vm_snapshot.command, "run", lambda *_: "version 11")
    assert self.place() != before

  def test_bare_nodes_need_another(
    self, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    before = self.place()
    monkeypatch.setattr(self.__class__, "INIT", ())
    assert self.place() != before

  def test_one_that_another_lab_may_stand_on_stays(
    self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    monkeypatch.setattr(plan, "STATE_ROOT", tmp_path / "run")
    stock = vm_image.VmImage(tmp_path / "image")
    for name in ("saved-2x9-1", "saved-2x9-2", "saved-1x9-1"):
      (stock.directory / name).mkdir(parents=True)
    own, other = (
      state.State(
        name, "trixie", 2, driver=True, image=str(stock.directory)
      ).save()
      for name in ("own", "other")
    )
    removed: list[pathlib.Path] = []
    monkeypatch.setattr(vm_snapshot.kept, "remove_tree", removed.append)
    target = stock.directory / "saved-2x9-3"
    keep = stock.directory / "saved-2x9-2"
    vm_snapshot.drop_outdated(own.plan, target, keep)
    assert not removed
    state.forget(other.name)
    vm_snapshot.drop_outdated(own.plan, target, keep)
    assert removed == [stock.directory / "saved-2x9-1"]


class TestImage:
  def test_key_follows_the_recipe(
    self, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    before = vm_image.kept("trixie").key
    assert (
      before == vm_image.kept("trixie").key != vm_image.kept("bookworm").key
    )
    monkeypatch.setattr(vm_image, "_PACKAGES", ("systemd",))
    assert vm_image.kept("trixie").key != before

  def test_no_kernel_is_told(self, tmp_path: pathlib.Path) -> None:
    with pytest.raises(LabError, match="left no vmlinuz"):
      vm_image.newest(tmp_path, "vmlinuz")


class TestHost:
  @pytest.mark.parametrize(
    ("printed", "expected"),
    [
      ("[ 0.9] Run /bin/true as init process\n[ 1.0] Kernel panic", "kvm"),
      ("qemu-system-x86_64: failed to set MSR 0x10a", "tcg"),
    ],
  )
  def test_kvm_is_used_where_a_kernel_boots(
    self,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    printed: str,
    expected: str,
  ) -> None:
    monkeypatch.setattr(plan, "STATE_ROOT", tmp_path)
    monkeypatch.setattr(vm_host.os, "access", lambda *_: True)
    monkeypatch.setattr(vm_host.command, "run", lambda *_, **__: printed)
    vm_host.choose_accelerator(
      pathlib.Path("vmlinuz"), pathlib.Path("initrd"), Progress(io.StringIO())
    )
    assert vm_host.accelerator() == expected

  @pytest.mark.parametrize(
    ("text", "expected"),
    [
      ("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)", 10),
      ("QEMU emulator version 7.2.22", 7),
      ("", 0),
    ],
  )
  def test_version(self, text: str, expected: int) -> None:
    assert vm_host.major_version(text) == expected

  def test_backports_where_they_are_needed(self) -> None:
    mirrors = host.Mirrors("http://m", "", updates=False, apt_conf="")
    assert "bookworm-backports" in vm_host.sources_list(mirrors, "bookworm")
    assert "backports" not in vm_host.sources_list(mirrors, "trixie")
