"""Makes a virtual environment and installs requirements into it, with the standard library alone.

`python3 scripts/make_venv.py .venv requirements.txt`. Debian ships Python without what `venv` needs to install pip: as
root on Debian that package is installed, a pip or a virtualenv that is there already does as well, and otherwise the
command that helps is named.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

MINIMUM = (3, 11)


def works(python: Path) -> bool:
    """Does this interpreter start?"""
    return python.exists() and subprocess.run([python, "-c", ""], check=False).returncode == 0


def has_pip(python: Path) -> bool:
    """Can this interpreter's environment install by itself?"""
    command = [python, "-c", "import pip"]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


def make(folder: Path) -> None:
    """An environment in `folder`; exits with the command to run where Python lacks the means."""
    shutil.rmtree(folder, ignore_errors=True)
    if importlib.util.find_spec("ensurepip") or installed_by_apt():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    elif importlib.util.find_spec("virtualenv"):
        subprocess.run([sys.executable, "-m", "virtualenv", "-q", folder], check=True)
    elif importlib.util.find_spec("venv") and importlib.util.find_spec("pip"):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    else:
        sys.exit(
            "This Python cannot make virtual environments. As root, run:\n"
            f"    apt-get update && apt-get install -y {venv_package()}\n"
            "and then the same command again."
        )


def venv_package() -> str:
    """Debian's package with what `venv` needs for this Python."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}-venv"


def installed_by_apt() -> bool:
    """Has apt-get, run here as root, installed what `venv` needs? Nothing is tried where another way is open."""
    others = importlib.util.find_spec("virtualenv") or importlib.util.find_spec("pip")
    apt = shutil.which("apt-get")
    if others or os.geteuid() != 0 or apt is None or not sys.executable.startswith("/usr/bin/"):
        return False
    print(f"Installing Debian's package {venv_package()}", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands = (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", venv_package()])
    return all(
        subprocess.run([apt, *arguments], env=quiet, stdout=subprocess.DEVNULL, check=False).returncode == 0
        for arguments in commands
    )


def pip(python: Path) -> list[str]:
    """The command that installs into the environment of `python`."""
    if has_pip(python):
        return [str(python), "-m", "pip"]
    return [sys.executable, "-m", "pip", "--python", str(python)]


def main(folder: Path, requirements: str) -> None:
    """Make the environment unless it is there and works; install."""
    if sys.version_info < MINIMUM:
        sys.exit(f"Python {'.'.join(map(str, MINIMUM))} or newer is needed: make PYTHON=python3.11 …")
    python = folder / "bin" / "python"
    if not works(python):
        print(f"Making {folder}", flush=True)
        make(folder)
    print(f"Installing {requirements}", flush=True)
    command = [*pip(python), "install", "--quiet", "--disable-pip-version-check", "-r", requirements]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"{requirements} could not be installed; the lines above say why.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
