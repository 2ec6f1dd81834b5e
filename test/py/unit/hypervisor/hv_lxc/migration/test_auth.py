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


"""Proofs that both sides know the secret of a migration."""

import dataclasses

import pytest
from ganeti.hypervisor.hv_lxc.migration import auth
from ganeti.hypervisor.hv_lxc.migration.auth import Dialogue, Role, Secret

DIALOGUE = Dialogue(
  migration="m1", source_nonce="n1", target_nonce="n2", binding=b"tls"
)


def test_a_proof_proves() -> None:
  secret = Secret.new()
  for role in Role:
    assert DIALOGUE.proves(secret, role, DIALOGUE.proof(secret, role))


def test_no_proof_can_be_sent_back() -> None:
  secret = Secret.new()
  proof = DIALOGUE.proof(secret, Role.SOURCE)
  assert not DIALOGUE.proves(secret, Role.TARGET, proof)


def test_another_secret_proves_nothing() -> None:
  proof = DIALOGUE.proof(Secret.new(), Role.SOURCE)
  assert not DIALOGUE.proves(Secret.new(), Role.SOURCE, proof)


@pytest.mark.parametrize(
  "changed",
  [
    {"migration": "m2"},
    {"source_nonce": "n3"},
    {"target_nonce": "n3"},
    {"binding": b"other"},
    # The same bytes, divided in another way.
    {"migration": "m1n", "source_nonce": "1"},
    {"target_nonce": "n2t", "binding": b"ls"},
  ],
)
def test_a_proof_is_of_one_connection_only(changed: dict[str, object]) -> None:
  secret = Secret.new()
  proof = DIALOGUE.proof(secret, Role.SOURCE)
  other = dataclasses.replace(DIALOGUE, **changed)  # type: ignore[arg-type]
  assert not other.proves(secret, Role.SOURCE, proof)


def test_a_secret_travels_as_text() -> None:
  secret = Secret.new()
  assert Secret.from_text(secret.to_text()) == secret
  assert Secret.new() != secret


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 33])
def test_a_text_that_is_no_secret(text: str) -> None:
  with pytest.raises(ValueError):  # noqa: PT011
    Secret.from_text(text)


def test_a_secret_does_not_show_itself() -> None:
  secret = Secret.new()
  assert secret.to_text() not in f"{secret!r} {secret}"
  assert repr(secret.key) not in repr([secret])


def test_nonces_are_used_once() -> None:
  assert len({auth.nonce() for _ in range(100)}) == 100
