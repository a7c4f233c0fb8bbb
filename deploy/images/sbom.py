"""What a program is made of, as CycloneDX 1.6 JSON: every package that cargo compiles into it, with licence and checksum.

usage: sbom.py PACKAGE TARGET [CARGO FLAGS...]        prints it

It is made from Cargo.lock and from what cargo says that it builds for the target, so it needs no other tool, and the same commit gives the same bytes.
"""

import json
import pathlib
import subprocess
import sys
import tomllib


def cargo(*args):
    return subprocess.run(["cargo", *args], check=True, capture_output=True, text=True).stdout


def purl(name, version):
    return f"pkg:cargo/{name}@{version}"


def main(package, target, *flags):
    root = pathlib.Path(__file__).resolve().parents[2]
    lock = tomllib.loads((root / "Cargo.lock").read_text())
    checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    about = json.loads(cargo("metadata", "--locked", "--format-version", "1"))
    licences = {(p["name"], p["version"]): p.get("license") for p in about["packages"]}

    # One line for each edge, without build scripts' own needs: those are not in the program.
    tree = cargo(
        "tree", "--locked", "-p", package, "--target", target, "-e", "normal",
        "--prefix", "none", "--no-dedupe", "--format", "{p}", *flags,
    )
    parts = sorted({tuple(line.split()[:2]) for line in tree.splitlines() if line.strip()})
    parts = [(name, version.lstrip("v")) for name, version in parts]

    components = []
    for name, version in parts:
        component = {
            "type": "library",
            "bom-ref": purl(name, version),
            "name": name,
            "version": version,
            "purl": purl(name, version),
        }
        if licences.get((name, version)):
            component["licenses"] = [{"expression": licences[name, version].replace("/", " OR ")}]
        if checksums.get((name, version)):
            component["hashes"] = [{"alg": "SHA-256", "content": checksums[name, version]}]
        components.append(component)
    own = next(c for c in components if c["name"] == package)
    components.remove(own)
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**own, "type": "application"}},
        "components": components,
    }
    json.dump(bom, sys.stdout, indent=1, sort_keys=True)
    print()


main(*sys.argv[1:])
