# SPDX-License-Identifier: Apache-2.0
"""OS images: verified at the import, refused when a file differs, and not removable while in use."""

import fcntl
import hashlib
import http.client
import os
import shutil
import subprocess
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from button import seal
from node import BOOT, DEMO, IMAGES, refused, until


@pytest.fixture
def copy(tmp_path):
    """Makes copies of the boot image with another version."""
    def make(name="teepod-boot-1.2.3"):
        folder = tmp_path / name
        shutil.copytree(IMAGES / BOOT, folder)
        meta = folder / "metadata.json"
        meta.write_text(meta.read_text().replace("1.0.0", name.rsplit("-", 1)[1]))
        seal(folder)
        return folder
    return make


@pytest.fixture
def images(node):
    """The shared node; images that a test imported are deleted after it."""
    yield node
    node.delete_all()
    for row in node.get("/images?page_size=100").ok().json["items"]:
        if row["name"] not in (BOOT, DEMO):
            node.api("DELETE", f"/images/{row['name']}")


def names(node):
    return {row["name"] for row in node.get("/images?page_size=100").ok().json["items"]}


def bring(node, source, **more):
    return node.post("/images", json={"source": str(source), **more}, timeout=60)


def test_a_folder_is_imported_and_a_guest_boots_from_it(images, copy):
    folder = copy()
    row = bring(images, folder).ok().json
    assert row["name"] == "teepod-boot-1.2.3" and row["version"] == "1.2.3" and row["is_dev"] is True
    assert row["os_image_hash"] == (folder / "digest.txt").read_text().strip()
    shutil.rmtree(folder)
    cvm = images.create(image="teepod-boot-1.2.3")
    assert cvm.get()["os"]["os_image_hash"] == row["os_image_hash"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_tar_is_imported(images, copy, tmp_path, mode):
    folder = copy("teepod-boot-2.0.0")
    path = tmp_path / "image.tar"
    with tarfile.open(path, mode) as tar:
        tar.add(folder, arcname="teepod-boot-2.0.0")
    assert bring(images, path).ok()["name"] == "teepod-boot-2.0.0"
    assert "teepod-boot-2.0.0" in names(images)


def tamper_artefact(folder):
    data = bytearray((folder / "boot.img").read_bytes())
    data[1000] ^= 1
    (folder / "boot.img").write_bytes(data)


def tamper_list(folder):
    path = folder / "sha256sum.txt"
    path.write_text(path.read_text().replace("a", "b", 1))


def tamper_digest(folder):
    (folder / "digest.txt").write_text("0" * 64 + "\n")


def add_unlisted(folder):
    meta = folder / "metadata.json"
    meta.write_text(meta.read_text().replace("boot.img", "other.img"))
    shutil.copy(folder / "boot.img", folder / "other.img")
    lines = [line for line in (folder / "sha256sum.txt").read_text().splitlines(True) if "metadata" not in line]
    lines.append(f"{hashlib.sha256(meta.read_bytes()).hexdigest()}  metadata.json\n")
    (folder / "sha256sum.txt").write_text("".join(lines))
    (folder / "digest.txt").write_text(hashlib.sha256("".join(lines).encode()).hexdigest() + "\n")


def break_metadata(folder):
    (folder / "metadata.json").write_text("{nonsense")
    seal(folder)


def remove_artefact(folder):
    (folder / "boot.img").unlink()


def remove_list(folder):
    (folder / "sha256sum.txt").unlink()


def link_out(folder):
    (folder / "boot.img").unlink()
    (folder / "boot.img").symlink_to("/etc/passwd")
    seal(folder)


def point_out(folder):
    meta = folder / "metadata.json"
    meta.write_text(meta.read_text().replace("boot.img", "../../etc/passwd"))
    seal(folder)


@pytest.mark.parametrize("spoil", [tamper_artefact, tamper_list, tamper_digest, add_unlisted, break_metadata, remove_artefact,
                                   remove_list, link_out, point_out])
def test_an_image_that_does_not_verify_is_refused_and_leaves_nothing(images, copy, spoil):
    folder = copy("teepod-boot-6.6.6")
    spoil(folder)
    before = names(images)
    answer = bring(images, folder)
    assert answer.status in (400, 409, 422), answer
    assert names(images) == before
    assert not list((images.dir / "images").glob("*6.6.6*"))


def test_a_tar_that_reaches_out_is_refused(images, tmp_path):
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("../../../tmp/teepod-evil")
        tar.addfile(info)
    assert bring(images, path, name="evil-1.0.0").status in (400, 422)
    assert not (tmp_path / "../../../tmp/teepod-evil").exists()


@pytest.mark.parametrize("source", ["/nonexistent", "/etc/passwd", "relative/path", "", "/dev/zero", 5])
def test_a_source_that_is_no_image_is_refused(images, source):
    answer = images.post("/images", json={"source": source}, timeout=60)
    assert answer.status in (400, 404, 422), answer


def test_the_same_image_again_is_fine_and_another_under_its_name_is_not(images, copy):
    folder = copy()
    bring(images, folder).ok()
    again = bring(images, folder)
    assert again.status // 100 == 2 or again.status == 409, again
    (folder / "boot.img").write_bytes((folder / "boot.img").read_bytes() + b"\0" * 512)
    seal(folder)
    assert bring(images, folder).status == 409


def test_an_image_in_use_can_not_be_deleted(images, copy):
    bring(images, copy()).ok()
    cvm = images.create(image="teepod-boot-1.2.3", stopped=True)
    refused(images.api("DELETE", "/images/teepod-boot-1.2.3"), 409)
    cvm.delete()
    assert images.api("DELETE", "/images/teepod-boot-1.2.3").status in (200, 204)
    assert "teepod-boot-1.2.3" not in names(images)
    assert not (images.dir / "images" / "teepod-boot-1.2.3").exists()


def test_a_bare_name_means_its_newest_version(images, copy):
    for name in ("teepod-boot-1.10.0", "teepod-boot-1.9.0"):
        bring(images, copy(name)).ok()
    cvm = images.create(image="teepod-boot", stopped=True)
    assert cvm.get()["os"]["name"] == "teepod-boot-1.10.0", "1.10 is newer than 1.9"


def test_os_images_can_be_filtered_by_dev_and_production(images):
    dev = images.get("/os-images?is_dev=true&page=1&page_size=100").ok().json
    prod = images.get("/os-images?is_dev=false").ok().json
    assert {r["name"] for r in dev["items"]} >= {BOOT, DEMO} and all(r["is_dev"] for r in dev["items"])
    assert all(not r["is_dev"] for r in prod["items"])


def test_imports_are_idempotent_by_key(images, copy):
    folder = copy()
    first = images.post("/images", json={"source": str(folder)}, headers={"Idempotency-Key": "image-1"}, timeout=60).ok()
    again = images.post("/images", json={"source": str(folder)}, headers={"Idempotency-Key": "image-1"}, timeout=60)
    assert again.body == first.body


def test_the_image_store_holds_what_sha256sum_agrees_with(node):
    for name in (BOOT, DEMO):
        folder = node.dir / "images" / name
        subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "sha256sum.txt"], cwd=folder, check=True)


# ---------------------------------------------------------------------- the folder in the store, afterwards

NAME = "teepod-boot-1.2.3"


@pytest.fixture
def stored(images, copy):
    """An imported image: its source, and its folder in the store, which tests may change."""
    source = copy()
    row = bring(images, source).ok().json
    return images, source, images.dir / "images" / NAME, row["os_image_hash"]


def flip(folder):
    """The same number of other bytes."""
    data = bytearray((folder / "boot.img").read_bytes())
    data[1000] ^= 1
    (folder / "boot.img").write_bytes(data)


def lengthen(folder):
    with open(folder / "boot.img", "ab") as f:
        f.write(b"\0")


def lose_file(folder):
    (folder / "boot.img").unlink()


def lose_folder(folder):
    shutil.rmtree(folder)


def replace_by_another(folder):
    """Another image whose own checksums match."""
    flip(folder)
    seal(folder)


def link_file(folder):
    (folder / "boot.img").rename(folder.parent / "elsewhere.img")
    (folder / "boot.img").symlink_to("../elsewhere.img")


def stow_away(folder):
    (folder / "stowaway").write_text("x")


def point_metadata(folder):
    """Other bytes in the metadata, with the old checksums."""
    meta = folder / "metadata.json"
    meta.write_text(meta.read_text().replace('"is_dev"', '"is_dev" '))


SPOILED = [flip, lengthen, lose_file, lose_folder, replace_by_another, link_file, stow_away, point_metadata]


def start_of(cvm):
    answer = cvm.request("start").ok()
    return cvm.node.operation(answer.headers["x-operation-id"], wait=60)


@pytest.mark.parametrize("spoil", SPOILED)
def test_no_guest_starts_from_an_image_that_was_changed(stored, spoil):
    node, source, folder, _ = stored
    cvm = node.create(image=NAME, stopped=True)
    spoil(folder)
    operation = start_of(cvm)
    assert operation["state"] == "failed", "a guest started from files that are not the image's"
    row = node.get(f"/images/{NAME}").ok().json
    assert row.get("state") == ("missing" if "lose" in spoil.__name__ else "changed"), row
    listed = {r["name"]: r for r in node.get("/images?page_size=100").ok().json["items"]}
    assert listed[NAME] == row and listed[BOOT]["state"] == "available" and listed[BOOT]["state_reason"] is None
    assert NAME in str(operation["error"]) and not cvm.pids()
    code, output = node.check_db()
    assert code == 1 and NAME in output, output
    # Importing the source again repairs it.
    assert bring(node, source).ok()["state"] == "available"
    assert start_of(cvm)["state"] == "succeeded"
    assert node.check_db()[0] == 0
    for left in folder.parent.glob("elsewhere.img"):
        left.unlink()
    assert sorted(p.name for p in folder.parent.iterdir()) == sorted(names(node))


@pytest.mark.parametrize("spoil", [flip, lose_folder])
def test_a_restart_leaves_a_guest_alone_whose_image_was_changed(stored, spoil):
    node, source, folder, _ = stored
    cvm = node.create(image=NAME)
    pids = cvm.pids()
    spoil(folder)
    for begin in (lambda: cvm.request("restart", force=True),
                  lambda: node.api("PATCH", f"/cvms/{cvm.uuid}", json={"vcpu": 2, "allow_restart": True})):
        operation = node.operation(begin().ok().headers["x-operation-id"], wait=60)
        assert operation["state"] == "failed" and NAME in str(operation["error"]), operation
        assert operation["step"] == "check", "hashing must not share the deadline of the power button"
        assert cvm.pids() == pids and cvm.status == "running"
    bring(node, source).ok()
    cvm.do("restart", force=True)
    cvm.becomes("running")
    assert cvm.pids() != pids


def test_the_error_of_a_start_names_the_file(stored):
    node, _, folder, _ = stored
    cvm = node.create(image=NAME, stopped=True)
    flip(folder)
    assert "boot.img" in str(start_of(cvm)["error"])


def test_an_image_whose_times_changed_is_hashed_once_and_starts(stored):
    node, _, folder, _ = stored
    cvm = node.create(image=NAME, stopped=True)
    os.utime(folder / "boot.img", (1, 1))
    row = node.get(f"/images/{NAME}").ok().json
    assert row["state"] == "changed" and "boot.img" in row["state_reason"]
    assert node.check_db()[0] == 0, "it is the same image"
    assert start_of(cvm)["state"] == "succeeded"
    row = node.get(f"/images/{NAME}").ok().json
    assert row["state"] == "available" and row["state_reason"] is None


def test_a_measurement_renews_the_record_too(stored):
    node, _, folder, _ = stored
    cvm = node.create(image=NAME, stopped=True)
    os.utime(folder / "boot.img", (1, 1))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: node.get(f"/cvms/{cvm.uuid}/measurements").status, range(8)))
    assert answers == [200] * 8
    until("the record is renewed", lambda: node.get(f"/images/{NAME}").ok().json["state"] == "available", 10)


@pytest.mark.parametrize("spoil", SPOILED)
def test_an_import_answers_with_the_hash_of_what_it_brought_or_not_at_all(stored, spoil):
    """The store already has an image of that name, whatever happened to its folder."""
    node, source, folder, known = stored
    spoil(folder)
    flip(source)
    seal(source)
    answer = bring(node, source)
    refused(answer, 409, field="name")
    assert known in answer.text
    assert node.get(f"/images/{NAME}").ok()["os_image_hash"] == known


def test_an_import_of_what_replaced_the_folder_is_refused(stored):
    """The folder has valid checksums and is imported again, but it differs from the row."""
    node, source, folder, known = stored
    replace_by_another(folder)
    shutil.rmtree(source)
    shutil.copytree(folder, source)
    refused(bring(node, source), 409, field="name")
    refused(bring(node, folder), 409, field="name")
    assert node.get(f"/images/{NAME}").ok()["os_image_hash"] == known


def test_an_image_whose_folder_is_gone_can_be_deleted(stored):
    node, _, folder, _ = stored
    lose_folder(folder)
    assert node.api("DELETE", f"/images/{NAME}").status == 204
    assert NAME not in names(node)


def test_a_folder_that_changes_while_it_is_imported_is_refused_or_is_what_the_answer_says(images, tmp_path):
    source = tmp_path / NAME
    shutil.copytree(IMAGES / BOOT, source)
    meta = source / "metadata.json"
    meta.write_text(meta.read_text().replace("1.0.0", "1.2.3"))
    with open(source / "boot.img", "ab") as f:
        f.truncate(64 << 20)
    seal(source)
    stop = threading.Event()

    def scribble():
        n = 0
        with open(source / "boot.img", "r+b") as f:
            while not stop.is_set():
                n += 1
                f.seek((n * 7919) % (64 << 20))
                f.write(bytes([n % 256]))
                f.flush()
    writer = threading.Thread(target=scribble)
    writer.start()
    answer = bring(images, source)
    stop.set()
    writer.join()
    refused(answer, 400)
    assert NAME not in names(images) and not (images.dir / "images" / NAME).exists()


def test_images_are_held_against_their_record_when_the_daemon_starts(spawn, tmp_path):
    node = spawn()
    folder = node.dir / "images" / BOOT
    node.stop()
    flip(folder)
    node.start()
    until("the log says so", lambda: f"image {BOOT} is not what was imported" in node.log_tail(1000))
    assert "boot.img" in node.log_tail(1000)
    lose_folder(folder)
    node.stop()
    node.start()
    until("a demo image that was lost is imported again", lambda: node.get(f"/images/{BOOT}").ok()["state"] == "available")


def test_left_overs_of_imports_are_removed_at_the_start_and_live_ones_are_not(spawn):
    node = spawn()
    store = node.dir / "images"
    node.stop()
    dead, live = store / ".tmp-0123456789abcdef-dead", store / ".tmp-0123456789abcdef-live"
    for folder in (dead, live):
        folder.mkdir()
        (folder / "boot.img").write_bytes(b"half")
    held = os.open(live, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)     # as another node does that imports into the same store
    node.start()
    until("the dead one is gone", lambda: not dead.exists())
    assert (live / "boot.img").exists()
    os.close(held)
    node.restart()
    until("the other one is gone", lambda: not live.exists())


def test_an_import_that_is_killed_leaves_nothing_after_the_next_start(spawn, tmp_path):
    node = spawn()
    store = node.dir / "images"
    source = tmp_path / NAME
    shutil.copytree(IMAGES / BOOT, source)
    with open(source / "boot.img", "ab") as f:
        f.truncate(1 << 30)
    importing = threading.Thread(target=lambda: quiet(lambda: bring(node, source)))
    importing.start()
    until("it is being copied", lambda: list(store.glob(".tmp-*")))
    node.kill()
    importing.join()
    assert list(store.glob(".tmp-*"))
    node.start()
    until("it is gone", lambda: not list(store.glob(".tmp-*")))


def quiet(begin):
    try:
        begin()
    except (OSError, http.client.HTTPException):
        pass
