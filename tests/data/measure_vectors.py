#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a TD's registers hold, worked out a second time.

    tests/data/measure_vectors.py                       prints measure_vectors.json
    tests/data/measure_vectors.py files tests/data/measure  writes the small firmwares and the kernel it is about
    tests/data/measure_vectors.py mrtd FIRMWARE             MRTD of a firmware file
    tests/data/measure_vectors.py rtmr KERNEL INITRD CMDLINE first|last   RTMR1 and RTMR2, QEMU 10.2 or newer

Written from the same public documents as vmm/ and sharing no line with it: FIPS 202 for the sponge, dstack's mr_config for the
forms of MRCONFIGID, Intel's TDX Module ABI, QEMU and edk2 for the registers. The unit tests hold the C code against the numbers printed here.
"""
import hashlib
import json
import lzma
import os
import struct
import sys
import uuid

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


# ---------------------------------------------------------------- MRTD (Intel TDX Module ABI, TDVF design guide)

TABLE = uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
METADATA = uuid.UUID("e47a6535-984a-4798-865e-4685a7bf8ec2").bytes_le
LZMA = uuid.UUID("ee4e5898-3914-4259-9d6e-dc7bd79403cf").bytes_le


def sections_of(fw):
    assert fw[-48:-32] == TABLE
    at, stop = len(fw) - 50, len(fw) - 50 + 18 - struct.unpack_from("<H", fw, len(fw) - 50)[0]
    while at > stop:
        length = struct.unpack_from("<H", fw, at - 18)[0]
        if fw[at - 16:at] == METADATA:
            head = len(fw) - struct.unpack_from("<I", fw, at - length)[0]
            signature, _, _, n = struct.unpack_from("<4sIII", fw, head)
            assert signature == b"TDVF"
            return [struct.unpack_from("<IIQQII", fw, head + 16 + 32 * i) for i in range(n)]
        at -= length
    raise ValueError("no TDX metadata")


def block(name, address):
    return name.ljust(16, b"\0") + struct.pack("<Q", address).ljust(112, b"\0")


def mrtd(fw):
    h = hashlib.sha384()
    for offset, _, address, size, kind, attributes in sections_of(fw):
        for page in range(0, size, 4096):
            h.update(block(b"MEM.PAGE.ADD", address + page))
            for at in range(page, page + 4096, 256) if attributes & 1 else ():
                h.update(block(b"MR.EXTEND", address + at))
                h.update(fw[offset + at:offset + at + 256] if kind < 2 else bytes(256))
    return h.hexdigest()


def sample_firmware(texts, measured_temp_mem):
    """64 KiB: a volume that holds @texts, an OVMF-like set of sections, metadata, the table of GUIDs."""
    fw = bytearray((i * 7 + (i >> 8)) & 0xFF for i in range(65536))
    volume = lzma.compress(b"\0".join(texts) + b"\0" + bytes(5000), format=lzma.FORMAT_ALONE)
    section = (24 + len(volume)).to_bytes(3, "little") + b"\x02" + LZMA + struct.pack("<HH", 24, 1) + volume
    fw[0x5000:0x5000 + len(section)] = section
    sections = [(0x4000, 0xC000, 0xFFFF4000, 0xC000, 0, 1), (0, 0x4000, 0xFFFF0000, 0x4000, 1, 0),
                (0, 0, 0x810000, 0x3000, 3, int(measured_temp_mem)), (0, 0, 0x809000, 0x2000, 2, 0)]
    metadata = struct.pack("<4sIII", b"TDVF", 16 + 32 * len(sections), 1, len(sections))
    metadata += b"".join(struct.pack("<IIQQII", *s) for s in sections)
    fw[0xF000:0xF000 + len(metadata)] = metadata
    other = b"\xaa" * 5 + struct.pack("<H", 5 + 18) + uuid.UUID(int=7).bytes_le
    entry = struct.pack("<IH", 65536 - 0xF000, 4 + 18) + METADATA
    table = entry + other
    table += struct.pack("<H", len(table) + 18) + TABLE
    fw[65536 - 32 - len(table):65536 - 32] = table
    return bytes(fw)


# ---------------------------------------------------------------- RTMR1 and RTMR2


def pe_digest(f, make=hashlib.sha384):
    """As edk2's MeasurePeImageAndExtend() walks a PE file."""
    pe = struct.unpack_from("<I", f, 0x3C)[0]
    assert f[pe:pe + 4] == b"PE\0\0"
    n, optional = struct.unpack_from("<H", f, pe + 6)[0], struct.unpack_from("<H", f, pe + 20)[0]
    plus = struct.unpack_from("<H", f, pe + 24)[0] == 0x20B
    directory = pe + 24 + (112 if plus else 96)
    headers = struct.unpack_from("<I", f, pe + 24 + 60)[0]
    checksum, certificate, size = pe + 24 + 64, directory + 32, 0
    h = make(f[:checksum])
    if struct.unpack_from("<I", f, directory - 4)[0] > 4:
        size = struct.unpack_from("<I", f, certificate + 4)[0]
        h.update(f[checksum + 4:certificate] + f[certificate + 8:headers])
    else:
        h.update(f[checksum + 4:headers])
    table = [struct.unpack_from("<II", f, pe + 24 + optional + 40 * i + 16) for i in range(n)]
    total = headers
    for length, at in sorted(((s, a) for s, a in table if s), key=lambda v: v[1]):
        h.update(f[at:at + length])
        total += length
    h.update(f[total:len(f) - size])
    return h.digest()


def patched(kernel, initrd_size, memory_mib):
    """The setup header as QEMU up to 10.1 fills it in."""
    k, memory = bytearray(kernel), memory_mib << 20
    low = memory if memory < 0xB0000000 else 0x80000000
    above_4g = struct.unpack_from("<H", k, 0x236)[0] & 2
    top = min(0xFFFFFFFF if above_4g else struct.unpack_from("<I", k, 0x22C)[0], low - 0x28000 - 1)
    k[0x210] = 0xB0
    k[0x211] |= 0x80
    struct.pack_into("<H", k, 0x224, 0x20000 - 0x10000 - 0x200)
    struct.pack_into("<I", k, 0x228, 0x20000)
    struct.pack_into("<II", k, 0x218, (top - initrd_size) // 4096 * 4096, initrd_size)
    return bytes(k)


def chain(*digests):
    value = bytes(48)
    for d in digests:
        value = hashlib.sha384(value + d).digest()
    return value.hex()


def sha384(data):
    return hashlib.sha384(data).digest()


def rtmr1(kernel):
    events = b"Calling EFI Application from Boot Option", bytes(4), b"Exit Boot Services Invocation", \
        b"Exit Boot Services Returned with Success"
    return chain(pe_digest(kernel), *map(sha384, events))


def rtmr2(cmdline, initrd, first):
    line = "initrd=initrd " + cmdline if first else cmdline + " initrd=initrd"
    return chain(sha384((line + "\0").encode("utf-16-le")), sha384(initrd))


def sample_kernel(certificate=b""):
    """A bzImage that is a PE file: headers, two sections out of order, a tail, and maybe a signature."""
    k = bytearray((i * 13 + (i >> 7)) & 0xFF for i in range(0x2000 + 12))
    k[:2], k[0x3C:0x40] = b"MZ", struct.pack("<I", 0x40)
    k[0x1F1] = 7
    k[0x202:0x208] = b"HdrS" + struct.pack("<H", 0x20F)
    k[0x210:0x212] = bytes([0, 1])
    struct.pack_into("<I", k, 0x22C, 0x7FFFFFFF)
    struct.pack_into("<H", k, 0x236, 0x3F)
    k[0x40:0x44] = b"PE\0\0"
    struct.pack_into("<HHIIIHH", k, 0x44, 0x8664, 2, 0, 0, 0, 160, 0x206)
    struct.pack_into("<H", k, 0x58, 0x20B)
    struct.pack_into("<I", k, 0x58 + 60, 0x400)
    struct.pack_into("<I", k, 0x58 + 108, 6)
    k[0x58 + 112:0x58 + 160] = bytes(48)
    for i, (size, at) in enumerate([(0x1000, 0x1000), (0xC00, 0x400)]):
        k[0xF8 + 40 * i:0xF8 + 40 * (i + 1)] = bytes(40)
        struct.pack_into("<II", k, 0xF8 + 40 * i + 16, size, at)
    if certificate:
        struct.pack_into("<II", k, 0x58 + 112 + 32, len(k), len(certificate))
    return bytes(k) + certificate


NEW = sample_firmware([b"initrd=initrd ", b"etc/boot/"], False)
OLD = sample_firmware([b"%a%a", b" initrd=initrd"], True)
INITRD = b"070701" * 3000
FILES = {"new.fd": NEW, "old.fd": OLD, "kernel": sample_kernel(), "kernel.signed": sample_kernel(b"\x08\0\0\0\0\x02\x02\0"),
         "initrd": INITRD}
CMDLINE = "console=ttyS0 init=/init"


def register_cases():
    memories = [1024, 2047, 2048, 2815, 2816, 65536]
    return {
        "mrtd": {name: mrtd(FILES[name]) for name in ("new.fd", "old.fd")},
        "pe_digest": {name: pe_digest(FILES[name]).hex() for name in ("kernel", "kernel.signed")},
        "rtmr1": rtmr1(FILES["kernel"]),
        "rtmr1_patched": [{"memory_mib": m, "value": rtmr1(patched(FILES["kernel"], len(INITRD), m))} for m in memories],
        "rtmr2_last": rtmr2(CMDLINE, INITRD, False),
        "rtmr2_first": rtmr2(CMDLINE, INITRD, True),
    }


def main():
    if sys.argv[1:2] == ["files"]:
        for name, data in FILES.items():
            with open(os.path.join(sys.argv[2], name), "wb") as f:
                f.write(data)
    elif sys.argv[1:2] == ["mrtd"]:
        with open(sys.argv[2], "rb") as f:
            print(mrtd(f.read()))
    elif sys.argv[1:2] == ["rtmr"]:
        with open(sys.argv[2], "rb") as kernel, open(sys.argv[3], "rb") as initrd:
            print(rtmr1(kernel.read()), rtmr2(sys.argv[4], initrd.read(), sys.argv[5] == "first"))
    else:
        print(json.dumps({"mr_config": mr_config_cases(), "registers": register_cases()}, indent=1))


if __name__ == "__main__":
    main()
