/* SPDX-License-Identifier: Apache-2.0
 * disk.c - the data disk: a qcow2 file, whole or not there, and never replaced unasked.
 *
 * qemu-img writes beside the final name; the file is synced and then renamed, so a disk that
 * exists is a disk that was finished. The row says afterwards that the disk was made
 * (cvms.disk_made, in GiB). So a crash in between leaves a disk that the row does not know, which
 * is taken as it is, and never a row that knows a disk that was not made. Once the row says so, a
 * disk that is missing or is another one is an error: an empty disk in its place would look to the
 * guest like the loss of all its data. Only its owner may ask for that (new_disk). Also then what
 * is in its place is renamed and kept. A disk that is larger than recorded is whole: the row is
 * behind, after a restore of the database, and new_disk is refused.
 *
 * A disk may be smaller than the row's disk_gib, by a growth whose job was given up: disk_made is
 * the size that was seen to be there.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/guest/disk.h"
#include "vmm/op/child.h"

/* The start of a qcow2 file (QEMU docs/interop/qcow2.txt), big-endian. */
struct qcow2 {
	uint32_t magic, version;
	uint64_t backing_offset;
	uint32_t backing_size, cluster_bits;
	uint64_t size;
	uint32_t crypt_method, l1_entries;
	uint64_t l1_offset;
	uint8_t rest[24];
	uint64_t incompatible; /* of version 3 */
};
static_assert(offsetof(struct qcow2, size) == 24 && offsetof(struct qcow2, l1_offset) == 40 &&
		      offsetof(struct qcow2, incompatible) == 72,
	      "");

#define GIB ((uint64_t)1 << 30)

enum { QCOW2_MAGIC = 0x514649fb, EXTERNAL_DATA = 1 << 2 };

static int disk_fault(const char *path, struct err *e, const char *fault)
{
	err_field(e, ERR_HOST, "disk", path, "the data disk of the CVM %s", fault);
	return err_hint(
		e,
		"put its disk back; or start with new_disk: true, which makes an empty one in its "
		"place");
}

static int disk_open(const char *path, int *ret, uint64_t *ret_bytes, struct err *e)
{
	/* O_NONBLOCK: a FIFO in its place must not hang the job. */
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return disk_fault(path, e, "is gone");
	if (fd < 0 && errno == ELOOP)
		return disk_fault(path, e, "is a link; expected a regular file");
	if (fd < 0 && errno != ENXIO) /* a socket */
		return err_sys(e, errno, "cannot open %s", path);
	if (fd >= 0 && fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot open %s", path);
	if (fd < 0 || !S_ISREG(st.st_mode))
		return disk_fault(path, e, "is not a regular file");
	*ret = take_fd(&fd);
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

/* Virtual size in bytes. */
static int disk_size(const char *path, uint64_t *ret, struct err *e)
{
	auto_close int fd = -1;
	struct qcow2 head = { 0 };
	uint64_t bytes = 0, tables;
	ssize_t n;

	if (disk_open(path, &fd, &bytes, e) < 0)
		return -(int)e->code;
	n = pread(fd, &head, sizeof(head), 0);
	if (n < 0)
		return err_sys(e, errno, "cannot read %s", path);
	if (n != sizeof(head) || be32toh(head.magic) != QCOW2_MAGIC)
		return disk_fault(path, e, n ? "is not a qcow2 file" : "is an empty file");
	if (head.backing_offset ||
	    (be32toh(head.version) >= 3 && be64toh(head.incompatible) & EXTERNAL_DATA))
		return disk_fault(path, e, "is not its own: it refers to another file");
	/* QEMU reads zeros after the end of the file: a guest would find an empty disk. */
	tables = be64toh(head.l1_offset) + be32toh(head.l1_entries) * sizeof(uint64_t);
	if (bytes < tables)
		return disk_fault(path, e, "is cut off");
	*ret = be64toh(head.size);
	return 0;
}

int disk_check(const char *path, int64_t min_gib, int64_t max_gib, struct err *e)
{
	char fault[160];
	uint64_t has = 0;

	if (disk_size(path, &has, e) < 0)
		return -(int)e->code;
	if (has < (uint64_t)min_gib * GIB) {
		(void)snprintf(fault, sizeof(fault),
			       "has %llu bytes, recorded are at least %lld GiB",
			       (unsigned long long)has, (long long)min_gib);
		return disk_fault(path, e, fault);
	}
	if (has <= (uint64_t)max_gib * GIB)
		return 0;
	err_field(e, ERR_HOST, "disk_size", path,
		  "the data disk of the CVM has %llu bytes, recorded are %lld GiB",
		  (unsigned long long)has, (long long)max_gib);
	return err_hint(e, "put its disk back; or resize the CVM to %llu GiB, if this is its disk",
			(unsigned long long)((has + GIB - 1) / GIB));
}

static int disk_sync(const char *path, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? err_sys(e, errno, "cannot sync %s", path) : 0;
}

int disk_create(const char *dir, const char *path, int64_t gib, struct err *e)
{
	auto_free char *tmp = xasprintf("%s.tmp", path);
	auto_free char *size = xasprintf("%lldG", (long long)gib);
	char *argv[] = { (char[]){ "qemu-img" },
			 (char[]){ "create" },
			 (char[]){ "-q" },
			 (char[]){ "-f" },
			 (char[]){ "qcow2" },
			 tmp,
			 size,
			 NULL };
	/* A qemu-img of a daemon that was killed may still write to its file, and holds QEMU's lock
	 * of it. */
	int r = file_remove_tree(tmp, e);

	if (!r)
		r = child_run(argv, e);
	/* libvirt gives it to QEMU's user for as long as that runs. */
	if (!r && chmod(tmp, 0600) < 0)
		r = err_sys(e, errno, "cannot close %s to others", tmp);
	if (!r)
		r = disk_sync(tmp, e);
	if (!r && rename(tmp, path) < 0)
		r = err_sys(e, errno, "cannot name %s", path);
	if (r)
		(void)unlink(tmp);
	return r ? r : file_sync_dir(dir, e);
}

int disk_grow(const char *path, int64_t gib, struct err *e)
{
	auto_free char *size = xasprintf("%lldG", (long long)gib);
	char *argv[] = { (char[]){ "qemu-img" },
			 (char[]){ "resize" },
			 (char[]){ "-q" },
			 (char[]){ "-f" },
			 (char[]){ "qcow2" },
			 (char *)(uintptr_t)path,
			 size,
			 NULL };
	uint64_t has = 0;
	int r = disk_size(path, &has, e);

	return r || has >= (uint64_t)gib * GIB ? r : child_run(argv, e);
}
