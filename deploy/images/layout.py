"""Reads an OCI archive without trusting it: each blob has the digest and the size that lead to it, and each is led to."""

import gzip
import hashlib
import io
import json
import os
import tarfile

USER = 65532


class Broken(Exception):
    """What is wrong with an archive."""


def demand(holds, what):
    if not holds:
        raise Broken(what)


def read(path):
    """The images, by name and architecture: their configuration, their layers, and how many bytes pulling one takes."""
    with tarfile.open(path) as archive:
        files = {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isfile()}
        demand(all(entry.mtime == 0 for entry in archive), "a file has a time")
    demand(json.loads(files.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}, "oci-layout is another")
    top = json.loads(files.pop("index.json"))
    used = set()

    def blob(descriptor):
        name = descriptor["digest"].replace("sha256:", "blobs/sha256/")
        demand(name in files, f"{name} is missing")
        used.add(name)
        data = files[name]
        demand(len(data) == descriptor["size"], f"{name} has another size")
        demand(name.endswith(hashlib.sha256(data).hexdigest()), f"{name} has another digest")
        return data

    images = {}
    for named in top["manifests"]:
        tag = named["annotations"]["org.opencontainers.image.ref.name"]
        for described in json.loads(blob(named))["manifests"]:
            plain = blob(described)
            manifest = json.loads(plain)
            packed = blob(manifest["config"])
            image = json.loads(packed)
            layers = [gzip.decompress(blob(layer)) for layer in manifest["layers"]]
            digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
            demand(image["rootfs"]["diff_ids"] == digests, f"{tag}: the layers are others than it says")
            platform = described["platform"]
            for key in ("architecture", "os"):
                demand(platform[key] == image[key], f"{tag}: two sorts of {key}")
            demand(image["config"]["User"] == f"{USER}:{USER}", f"{tag} has another user")
            size = len(plain) + len(packed) + sum(layer["size"] for layer in manifest["layers"])
            about = {"tag": tag, "size": size, "layers": layers, **image}
            images[tag.split(":")[0], platform["architecture"]] = about
    demand(used == set(files), f"nothing leads to {sorted(set(files) - used)}")
    return images


def unpack(image, root):
    """Puts the files of an image into a new folder, with their owners and rights."""
    root.mkdir(mode=0o755)
    for layer in image["layers"]:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            for entry in archive:
                demand(entry.isdir() or entry.isfile(), f"{entry.name} is neither file nor folder")
                demand(".." not in entry.name and not entry.name.startswith("/"), f"{entry.name} leads away")
                path = root / entry.name
                if entry.isdir():
                    path.mkdir(exist_ok=True)
                else:
                    path.write_bytes(archive.extractfile(entry).read())
                os.chown(path, entry.uid, entry.gid)
                path.chmod(entry.mode)
