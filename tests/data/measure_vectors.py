#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a TD's registers hold, worked out a second time.

    tests/data/measure_vectors.py               prints measure_vectors.json
    tests/data/measure_vectors.py mrtd FILE     MRTD of a firmware file
    tests/data/measure_vectors.py rtmr ..       see main()

Written from the same public documents as vmm/ and sharing no line with it: FIPS 202 for the sponge, dstack's mr_config for the
forms of MRCONFIGID. The unit tests hold the C code against the numbers printed here.
"""
import hashlib
import json
import sys

# ---------------------------------------------------------------- Keccak-256, by the tables of the Keccak reference

ROUND = [0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B,
         0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088,
         0x0000000080008009, 0x000000008000000A, 0x000000008000808B, 0x800000000000008B, 0x8000000000008089,
         0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
         0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008]
ROTATE = [[0, 36, 3, 41, 18], [1, 44, 10, 45, 2], [62, 6, 43, 15, 61], [28, 55, 25, 21, 56], [27, 20, 39, 8, 14]]
MASK = (1 << 64) - 1


def rol(v, n):
    return (v << n | v >> (64 - n)) & MASK if n else v


def permute(a):
    for constant in ROUND:
        c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
        d = [c[x - 1] ^ rol(c[(x + 1) % 5], 1) for x in range(5)]
        a = [[a[x][y] ^ d[x] for y in range(5)] for x in range(5)]
        b = [[0] * 5 for _ in range(5)]
        for x in range(5):
            for y in range(5):
                b[y][(2 * x + 3 * y) % 5] = rol(a[x][y], ROTATE[x][y])
        a = [[b[x][y] ^ (~b[(x + 1) % 5][y] & b[(x + 2) % 5][y] & MASK) for y in range(5)] for x in range(5)]
        a[0][0] ^= constant
    return a


def keccak256(data, pad=0x01):
    rate = 136
    data += bytes([pad]) + bytes(-(len(data) + 1) % rate)
    data = data[:-1] + bytes([data[-1] | 0x80])
    a = [[0] * 5 for _ in range(5)]
    for at in range(0, len(data), rate):
        for i in range(rate // 8):
            a[i % 5][i // 5] ^= int.from_bytes(data[at + 8 * i:at + 8 * i + 8], "little")
        a = permute(a)
    return b"".join(a[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


assert keccak256(b"xyz" * 100, 0x06) == hashlib.sha3_256(b"xyz" * 100).digest()

# ---------------------------------------------------------------- MRCONFIGID

KINDS = ["none", "local", "kms", "tpm"]


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def jcs(value):
    # Enough for documents of ASCII keys and small whole numbers: sort_keys goes by code point.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def kind_of(manifest):
    if "key_provider" in manifest:
        return manifest["key_provider"]
    return "kms" if manifest.get("kms_enabled") else "local" if manifest.get("local_key_provider_enabled") else "none"


def padded(version, digest):
    return (bytes([version]) + digest).ljust(48, b"\0").hex()


def mr_config(case):
    text, manifest = case["manifest"], json.loads(case["manifest"])
    compose_hash, app_id = hashlib.sha256(text.encode()).digest(), bytes.fromhex(case["app_id"])
    provider_id = manifest.get("key_provider_id", "").lower().removeprefix("0x")
    version = case["version"]
    if version == 1:
        return {"id": padded(1, compose_hash)}
    if version == 2:
        data = compose_hash + app_id + bytes([KINDS.index(kind_of(manifest))]) + bytes.fromhex(provider_id)
        return {"id": padded(2, keccak256(data))}
    document = {"version": 3, "app_id": case["app_id"], "compose_hash": compose_hash.hex(),
                "key_provider": kind_of(manifest), "key_provider_id": provider_id}
    if not manifest.get("no_instance_id"):
        seed = bytes.fromhex(case["instance_seed"])
        document["instance_id"] = hashlib.sha256(seed + app_id).hexdigest()[:40]
    if case["has_gpus"]:
        document["gpu_policy_hash"] = sha256(jcs(manifest.get("requirements", {}).get("gpu_policy", {})))
    if int(manifest["manifest_version"]) >= 3:
        scripts = manifest.get("init_script", [])
        document["init_script_hashes"] = [sha256(s) for s in ([scripts] if isinstance(scripts, str) else scripts)]
    document = jcs(document)
    digest = hashlib.sha256(b"dstack-mr-config-v3:\0" + document.encode()).digest()
    return {"id": padded(3, digest), "document": document}


def mr_config_cases():
    base = {"manifest_version": 2, "name": "demo", "runner": "docker-compose",
            "docker_compose_file": "services:\n  a:\n    image: nginx\n"}
    pinned = base | {"kms_enabled": True, "key_provider_id": "33" * 32}
    policy = {"rego": "package policy\ndefault nv_match := true\n", "attest_gpu": True}
    third = pinned | {"manifest_version": "3"}
    cases = [
        ("no key provider id", base, 1, "teepod-demo", "1.0.0", False),
        ("kms, no key provider id", base | {"kms_enabled": True}, 1, "dstack", "0.6.0", False),
        ("the first dstack image that knows MRCONFIGID", base, 1, "dstack-dev", "0.5.2", False),
        ("key provider id on a guest before V3", pinned, 2, "dstack", "0.5.9", False),
        ("local, by the older flag", base | {"local_key_provider_enabled": True, "key_provider_id": "AAbb"}, 2, "dstack",
         "0.5.2", False),
        ("key_provider wins over the flags", pinned | {"key_provider": "tpm", "key_provider_id": "0xCCDD"}, 2, "dstack",
         "0.5.3", False),
        ("kms over local", pinned | {"local_key_provider_enabled": True}, 3, "dstack", "0.6.0", False),
        ("another family is not measured by dstack's numbers", pinned, 3, "teepod-demo", "0.1.0", False),
        ("dstackish is another family", pinned, 3, "dstackish", "0.5.0", False),
        ("none, bound all the same", base | {"key_provider": "none", "key_provider_id": "01"}, 3, "dstack", "0.6.1", False),
        ("no instance id", pinned | {"no_instance_id": True}, 3, "dstack", "1.0.0", False),
        ("GPUs, no policy", pinned, 3, "dstack", "0.6.0", True),
        ("GPUs, a policy", pinned | {"requirements": {"gpu_policy": policy}}, 3, "dstack-nvidia", "0.6.0", True),
        ("a policy, no GPUs", pinned | {"requirements": {"gpu_policy": policy}}, 3, "dstack-nvidia", "0.6.0", False),
        ("version 3 binds that there is no script", third, 3, "dstack", "0.6.0", False),
        ("one script", third | {"init_script": "echo hi\n"}, 3, "dstack", "0.6.0", False),
        ("scripts in order", third | {"init_script": ["b", "a", "b"]}, 3, "dstack", "0.6.0", False),
        ("version 2 does not bind scripts", pinned | {"init_script": "echo hi\n"}, 3, "dstack", "0.6.0", False),
    ]
    out = []
    for rule, manifest, version, family, image_version, has_gpus in cases:
        case = {"rule": rule, "manifest": json.dumps(manifest), "version": version, "image_family": family,
                "image_version": image_version, "has_gpus": has_gpus, "app_id": "11" * 20, "instance_seed": "5e" * 20}
        out.append(case | mr_config(case))
    return out


def main():
    print(json.dumps({"mr_config": mr_config_cases()}, indent=1))


if __name__ == "__main__":
    main()
