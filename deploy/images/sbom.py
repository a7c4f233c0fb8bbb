"""What a program is made of, as CycloneDX 1.6 JSON.

usage: sbom.py PACKAGE PROGRAM TARGET [CARGO FLAGS...]        prints it

Every package that cargo takes to build the program for the target is in it, with licence and checksum. One that only runs while it is built (build scripts and what they use, procedural
macros) has the scope "excluded", as CycloneDX has it for what is not in the program. Rust's standard library, which no lock file names, is a part as well.

It comes from Cargo.lock and from what cargo says that it builds, so it needs no other tool, and the same commit gives the same bytes.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*args):
    return subprocess.run(args, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def purl(name, version):
    return f"pkg:cargo/{name}@{version}"


def tree(package, target, edges, flags):
    """Names and versions of the packages that these edges lead to."""
    lines = run(
        "cargo", "tree", "--locked", "-p", package, "--target", target, "-e", edges,
        "--prefix", "none", "--no-dedupe", "--format", "{p}", *flags,
    ).splitlines()
    pairs = {tuple(line.split()[:2]) for line in lines if line.strip()}
    return {(name, version.lstrip("v")) for name, version in pairs}


def component(part, lock, licences):
    name, version = part
    made = {
        "type": "library",
        "bom-ref": purl(name, version),
        "name": name,
        "version": version,
        "purl": purl(name, version),
    }
    if licences.get(part):
        # Some write the old form, MIT/Apache-2.0.
        made["licenses"] = [{"expression": licences[part].replace("/", " OR ")}]
    if lock.get(part):
        made["hashes"] = [{"alg": "SHA-256", "content": lock[part]}]
    return made


def main(package, program, target, *flags):
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    lock = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    host = re.search(r"^host: (.*)$", run("rustc", "-vV"), re.M)[1]
    platforms = [f"--filter-platform={name}" for name in (target, host)]
    about = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1", *platforms))
    licences = {(p["name"], p["version"]): p.get("license") for p in about["packages"]}

    inside = tree(package, target, "normal,no-proc-macro", flags)
    everything = tree(package, target, "normal,build", flags)
    (own,) = [part for part in inside if part[0] == package]
    components = []
    for part in sorted(everything - {own}):
        scope = "required" if part in inside else "excluded"
        components.append({**component(part, lock, licences), "scope": scope})
    rust = run("rustc", "--version").split()[1]
    components.append(
        {
            "type": "library",
            "bom-ref": f"rust-std@{rust}",
            "name": "rust-std",
            "version": rust,
            "description": f"Rust's standard library for {target}, and the C library in it",
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
            "scope": "required",
        }
    )
    whole = {
        "type": "application",
        "bom-ref": program,
        "name": program,
        "version": own[1],
        "licenses": [{"expression": licences[own]}],
        "properties": [{"name": "adit:target", "value": target}],
    }
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": whole},
        "components": components,
        "dependencies": [
            {
                "ref": program,
                "dependsOn": [c["bom-ref"] for c in components if c["scope"] == "required"],
            }
        ],
    }
    json.dump(bom, sys.stdout, indent=1)
    print()


main(*sys.argv[1:])
