"""cfn-lint, with the project's own configuration, finds nothing; and it does look into the templates."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from template_files import ROOT

CFN_LINT = Path(sys.executable).with_name("cfn-lint")


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CFN_LINT], cwd=folder, capture_output=True, text=True, timeout=120)


def test_templates_are_clean() -> None:
    done = _lint(ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_misspelt_nested_output_and_a_wrong_property_are_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    shutil.copy(ROOT / ".cfnlintrc", tmp_path)
    root = tmp_path / "templates" / "environment.yaml"
    root.write_text(root.read_text().replace("Fleet.Outputs.TargetGroupArn", "Fleet.Outputs.TargetGroupArm"))
    child = tmp_path / "templates" / "environment" / "fleet.yaml"
    child.write_text(child.read_text().replace("HealthCheckPath:", "HealthPath:"))
    done = _lint(tmp_path)
    assert "TargetGroupArm" in done.stdout
    assert "HealthPath" in done.stdout
    assert done.returncode != 0
