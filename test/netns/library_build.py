# SPDX-License-Identifier: Apache-2.0
"""C programs built against an installed libfieldline, as its users do: by pkg-config and nothing else."""
import os
import pathlib
import re
import subprocess
import sys

from site_lab import build_folder

WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]


def skip_if_sanitized():
    """Exit status 77: a sanitizer must be there before all else of a process, and such a library is loaded later."""
    dynamic = subprocess.run(["readelf", "-d", build_folder() / "lib/libfieldline.so"], check=True, capture_output=True, text=True)
    if re.search(r"lib[atu][bs]*san\.so", dynamic.stdout):
        print("SKIP: libfieldline is built with a sanitizer, and programs that know nothing of it cannot load it")
        sys.exit(77)


def install(prefix):
    """The library, its header and its .pc file below a prefix that no build was configured for."""
    subprocess.run(["cmake", "--install", build_folder(), "--prefix", prefix, "--component", "library"], check=True,
                   capture_output=True)
    return next(pathlib.Path(prefix).rglob("fieldline.pc")).parent


def pkg_config(folder, *arguments):
    done = subprocess.run(["pkg-config", *arguments, "fieldline"], check=True, capture_output=True, text=True,
                          env=dict(os.environ, PKG_CONFIG_PATH=str(folder)))
    return done.stdout.split()


def compile_c(folder, source, program):
    """folder: the .pc file's. The program finds the library where it was installed."""
    where = pkg_config(folder, "--variable=libdir")[0]
    subprocess.run([os.environ.get("CC", "cc"), *WARNINGS, source, *pkg_config(folder, "--cflags", "--libs"),
                    f"-Wl,-rpath,{where}", "-o", program], check=True)
    return program
