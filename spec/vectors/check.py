#!/usr/bin/env python3
"""Checks handshake.json against chapter 4 with nothing but SHA-256 and HMAC: a second implementation in a few lines."""

import hashlib
import hmac
import json
import pathlib
import string
import sys


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def mac(key, *parts):
    return hmac.digest(key, b"".join(parts), "sha256")


def expand(prk, info):
    """HKDF-Expand (RFC 5869) for one block; HKDF-Extract is mac(salt, ikm)."""
    return mac(prk, info, b"\x01")


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def check(vector):
    """Yields (what, computed, recorded)."""
    value = lambda name, of=vector: bytes.fromhex(of[name])
    token, tunnel = vector["token"].strip(string.whitespace).encode(), vector["tunnel"].encode()
    hello, auth, welcome = value("SERVER_HELLO"), value("AUTH"), value("WELCOME")

    prk = mac(b"adit-1 " + tunnel, token)
    client_key, server_key = expand(prk, b"adit client key"), expand(prk, b"adit server key")
    stored_key = sha256(client_key)
    yield "prk", prk, value("prk")
    yield "client key", client_key, value("client key")
    yield "server key", server_key, value("server key")
    yield "stored key", stored_key, value("stored key")

    t1 = sha256(b"adit auth 1", hello, auth[:-32])
    signature = mac(stored_key, b"adit client proof", t1)
    yield "T1", t1, value("T1")
    yield "client proof", xor(client_key, signature), value("client proof")
    yield "AUTH's end", auth[-32:], value("client proof")
    yield "what the server finds", sha256(xor(auth[-32:], signature)), stored_key
    yield "the exporter in AUTH", value("exporter") in auth, True

    t2 = sha256(b"adit welcome 1", t1, auth[-32:], welcome[:-32])
    yield "T2", t2, value("T2")
    yield "server proof", mac(server_key, b"adit server proof", t2), value("server proof")
    yield "WELCOME's end", welcome[-32:], value("server proof")
    resume_key = expand(mac(t2, client_key + server_key), b"adit resume key")
    yield "resume key", resume_key, value("resume key")

    again = vector["resumption"]
    hello, resume, resumed = (value(name, again) for name in ("SERVER_HELLO", "RESUME", "RESUMED"))
    r1 = sha256(b"adit resume 1", hello, resume[:-32])
    yield "R1", r1, value("R1", again)
    yield "RESUME's end", mac(resume_key, b"adit resume client", r1), resume[-32:]
    r2 = sha256(b"adit resumed 1", r1, resume[-32:], resumed[:-32])
    yield "R2", r2, value("R2", again)
    yield "RESUMED's end", mac(resume_key, b"adit resume server", r2), resumed[-32:]


def main():
    path = pathlib.Path(__file__).with_name("handshake.json")
    vectors = json.loads(path.read_text())["vectors"]
    checks = [(vector["name"], *one) for vector in vectors for one in check(vector)]
    wrong = [f"{name}: {what} is not what chapter 4 gives" for name, what, ours, theirs in checks if ours != theirs]
    print("\n".join(wrong) or f"{len(checks)} values of {len(vectors)} handshakes are as chapter 4 says")
    sys.exit(bool(wrong) or not checks)


if __name__ == "__main__":
    main()
