"""What a check needs from Debian."""

import os
import shutil
import subprocess


def install(program, package, needed=True):
    """Whether the program is there, if need be after its package was installed (as root)."""
    if shutil.which(program):
        return True
    quiet = {"check": needed, "stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run(["apt-get", "update", "-qq"], **quiet)
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package], **quiet)
    return bool(shutil.which(program))
