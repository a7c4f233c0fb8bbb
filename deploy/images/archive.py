"""Images without a Docker daemon: an OCI archive of static programs, for several architectures.

usage: archive.py FOLDER "IMAGE..." ARCHITECTURE...

Each image has one program, the CA certificates of FOLDER/ca-certificates.crt or of this system, a folder for state, and nothing else: no shell, no C
library. It runs as a user without rights, and on a read-only root: the folder for state is a volume. Nothing depends on the time or on this machine, so
the same programs and certificates give the same digests.
"""

import gzip
import hashlib
import io
import json
import pathlib
import sys
import tarfile

USER = 65532
OCI = {"x86_64": "amd64", "aarch64": "arm64"}
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
STATE = "var/lib/adit"
CONTROL = "8123/tcp"
ABOUT = {
    "adit-server": "The Adit server: the exit node of a reverse tunnel",
    "adit-client": "The Adit client: runs beside private services and dials out",
    "adit": "The Adit reverse tunnel in one command, with a demo",
}


def entry(name, data=None, mode=0o555, owner=0):
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid = mode, owner, owner
    if data is None:
        info.type = tarfile.DIRTYPE
        return info, None
    info.size = len(data)
    return info, io.BytesIO(data)


def tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for info, data in entries:
            archive.addfile(info, data)
    return out.getvalue()


class Layout:
    """Blobs by their digests."""

    def __init__(self):
        self.blobs = {}

    def add(self, data, media):
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    def add_json(self, value, media):
        data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
        return self.add(data, media)


def layer(program, data, certificates):
    entries = []
    for folder in ("etc", "etc/ssl", "etc/ssl/certs"):
        entries.append(entry(folder, mode=0o755))
    entries.append(entry(CERTIFICATES, certificates, mode=0o444))
    passwd = f"adit:x:{USER}:{USER}::/{STATE}:/sbin/nologin\n"
    entries.append(entry("etc/passwd", passwd.encode(), mode=0o444))
    entries.append(entry("etc/group", f"adit:x:{USER}:\n".encode(), mode=0o444))
    entries.append(entry("usr", mode=0o755))
    entries.append(entry("usr/bin", mode=0o755))
    entries.append(entry(f"usr/bin/{program}", data, mode=0o555))
    for folder in ("var", "var/lib"):
        entries.append(entry(folder, mode=0o755))
    entries.append(entry(STATE, mode=0o700, owner=USER))
    return tar(entries)


def manifest(layout, program, architecture, data, certificates, labels):
    plain = layer(program, data, certificates)
    packed = layout.add(
        gzip.compress(plain, 9, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip"
    )
    config = layout.add_json(
        {
            "architecture": OCI[architecture],
            "os": "linux",
            "config": {
                "Entrypoint": [f"/usr/bin/{program}"],
                "User": f"{USER}:{USER}",
                "WorkingDir": f"/{STATE}",
                "Env": [f"HOME=/{STATE}", f"ADIT_STATE_DIR=/{STATE}"],
                "Volumes": {f"/{STATE}": {}},
                **({} if program.endswith("client") else {"ExposedPorts": {CONTROL: {}}}),
                "Labels": labels,
            },
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"],
            },
        },
        "application/vnd.oci.image.config.v1+json",
    )
    described = layout.add_json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [packed],
        },
        "application/vnd.oci.image.manifest.v1+json",
    )
    described["platform"] = {"architecture": OCI[architecture], "os": "linux"}
    return described, packed["size"]


def main(folder, images, *architectures):
    folder = pathlib.Path(folder)
    own = folder / "ca-certificates.crt"
    certificates = (own if own.exists() else pathlib.Path("/") / CERTIFICATES).read_bytes()
    version = pathlib.Path(__file__).resolve().parents[2].joinpath("Cargo.toml").read_text()
    version = version.split('[workspace.package]\nversion = "')[1].split('"')[0]
    layout, indexes = Layout(), []
    for program in images.split():
        labels = {
            "org.opencontainers.image.title": program,
            "org.opencontainers.image.description": ABOUT.get(program, "Adit, a reverse tunnel"),
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
        }
        manifests = []
        for architecture in architectures:
            data = (folder / architecture / program).read_bytes()
            described, size = manifest(
                layout, program, architecture, data, certificates, labels
            )
            manifests.append(described)
            print(f"image {program} {OCI[architecture]}: {size} bytes packed, {described['digest']}")
        index = layout.add_json(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": manifests,
            },
            "application/vnd.oci.image.index.v1+json",
        )
        index["annotations"] = {"org.opencontainers.image.ref.name": f"{program}:{version}"}
        indexes.append(index)
    files = [
        entry("oci-layout", b'{"imageLayoutVersion":"1.0.0"}', mode=0o444),
        entry("blobs", mode=0o755),
        entry("blobs/sha256", mode=0o755),
    ]
    top = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": indexes,
    }
    files.append(entry("index.json", json.dumps(top, sort_keys=True).encode(), mode=0o444))
    for digest, data in sorted(layout.blobs.items()):
        files.append(entry(f"blobs/sha256/{digest}", data, mode=0o444))
    (folder / "adit-images.tar").write_bytes(tar(files))


main(*sys.argv[1:])
