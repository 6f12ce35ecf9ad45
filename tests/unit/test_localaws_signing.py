"""The key that signs deployment specifications: one, whoever asks first."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from localaws.codedeploy.signing import Signer


def opened(folder: Path, envelope: str) -> dict[str, object]:
    """What an envelope holds, once openssl has verified it against the folder's certificate."""
    certificate = str(folder / "specification-certificate.pem")
    done = subprocess.run(["openssl", "smime", "-verify", "-inform", "PEM", "-noverify", "-certfile", certificate, "-nointern"], input=envelope.encode(),
                          capture_output=True, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_hosts_that_ask_for_the_first_specification_at_the_same_time_all_get_one_that_verifies(tmp_path: Path) -> None:
    signer = Signer(tmp_path / "codedeploy")
    with ThreadPoolExecutor(8) as pool:
        envelopes = list(pool.map(lambda number: signer.sign({"number": number}), range(8)))
    assert [opened(tmp_path / "codedeploy", one) for one in envelopes] == [{"number": number} for number in range(8)]
    assert sorted(one.name for one in (tmp_path / "codedeploy").iterdir()) == ["specification-certificate.pem", "specification-key.pem"]
