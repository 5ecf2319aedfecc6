"""Fresh Python environments for tests that install packages.

Such an environment sees the packages of the running one (torch and lm_eval are not installed again) but none of its
start-up files, so that lmx is there only once a test has installed it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

# What pip writes for the console script of lm_eval.
LM_EVAL = "#!{python}\nimport sys\nfrom lm_eval.__main__ import cli_evaluate\nsys.exit(cli_evaluate())\n"


@dataclass(frozen=True)
class Environment:
    """A virtual environment and an empty folder to run its commands in."""

    folder: Path
    work: Path

    @classmethod
    def create(cls, folder: Path) -> Environment:
        """Make an environment that sees the running one's packages."""
        venv.create(folder / "env", symlinks=True)
        env = cls(folder / "env", folder / "work")
        env.work.mkdir()
        # A path line adds the folder to sys.path without reading the .pth files in it.
        (env.site / "parent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        script = env.folder / "bin" / "lm_eval"
        script.write_text(LM_EVAL.format(python=env.folder / "bin" / "python"))
        script.chmod(0o755)
        return env

    @property
    def site(self) -> Path:
        """The environment's site-packages."""
        return next((self.folder / "lib").glob("python*/site-packages"))

    def install(self, *what: str | Path) -> None:
        """Install wheels, or `-e` and a folder, without dependencies and without the network."""
        command = ["install", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
        self._pip(*command, *map(str, what))

    def uninstall(self, name: str) -> None:
        """Remove a package."""
        self._pip("uninstall", "--yes", name)

    def _pip(self, *arguments: str) -> None:
        python = str(self.folder / "bin" / "python")
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's commands in the empty folder."""
        drop = ("PYTHONPATH", "LMX_NO_AUTOLOAD", "LMX_TRACEBACK")
        kept = {name: value for name, value in os.environ.items() if name not in drop}
        full = [str(self.folder / "bin" / command[0]), *command[1:]]
        return subprocess.run(full, cwd=self.work, env=kept | variables, capture_output=True, text=True, timeout=300)

    def python(self, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python code."""
        return self.run("python", "-c", code, **variables)


def build_wheel(source: Path, target: Path) -> Path:
    """Build the wheel of a source tree with the build tools that are installed."""
    work = target / f"src-{source.name}"
    if source != ROOT:
        # Building leaves nothing in the tree, but a copy makes sure that only files of the tree get in.
        shutil.copytree(source, work, ignore=shutil.ignore_patterns("__pycache__"))
        source = work
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(source)]
    before = set(target.glob("*.whl"))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    (wheel,) = set(target.glob("*.whl")) - before
    return wheel
