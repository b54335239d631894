/* SPDX-License-Identifier: Apache-2.0
 * disk.c - create, check and grow the data disk, a qcow2 file.
 *
 * A disk is complete or missing, and it is never replaced without a request. An empty disk is
 * written by file_write(): under another name, synced and then renamed. It is a few clusters, so no
 * qemu-img is run for it: that took 6 ms of CPU at each create. Afterwards the row records its size
 * (cvms.disk_made, in GiB). A crash in between leaves a disk that the row does not know, which is
 * adopted; a row never knows a disk that was not made. Once recorded, a missing or different disk
 * is an error: to the guest a new, empty disk would be the loss of all its data.
 * Only the owner can request a new disk (new_disk), and then the old file is renamed and kept. A
 * disk that is larger than recorded is valid: the row is older, after a restore of the database,
 * and new_disk is refused.
 *
 * A disk may be smaller than the row's disk_gib, when the job that grows it was cancelled:
 * disk_made is the size that was verified.
 *
 * The steps that call this are in vmm/cvm/.
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

#include "base/alloc.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/guest/disk.h"
#include "vmm/virt/child.h"

/* Header of a qcow2 file (QEMU docs/interop/qcow2.txt), big-endian. */
struct qcow2 {
	uint32_t magic, version;
	uint64_t backing_offset;
	uint32_t backing_size, cluster_bits;
	uint64_t size;
	uint32_t crypt_method, l1_entries;
	uint64_t l1_offset;
	uint64_t refcount_table_offset;
	uint32_t refcount_table_clusters, snapshots;
	uint64_t snapshots_offset;
	/* since version 3 */
	uint64_t incompatible, compatible, autoclear;
	uint32_t refcount_order, header_bytes;
	uint64_t extensions; /* 0: none */
};
static_assert(offsetof(struct qcow2, size) == 24 && offsetof(struct qcow2, l1_offset) == 40 &&
		      offsetof(struct qcow2, incompatible) == 72 &&
		      offsetof(struct qcow2, extensions) == 104,
	      "");

#define GIB       ((uint64_t)1 << 30)
#define CLUSTER   ((size_t)1 << CLUSTER_BITS)
#define L1_COVERS ((uint64_t)CLUSTER * CLUSTER / sizeof(uint64_t)) /* bytes of the disk */

enum { QCOW2_MAGIC = 0x514649fb, EXTERNAL_DATA = 1 << 2 };
enum { CLUSTER_BITS = 16, REFCOUNT_ORDER = 4 /* refcounts of 2^4 bits */ };

static int disk_fault(const char *path, struct err *e, const char *fault)
{
	err_field(e, ERR_HOST, "disk", path, "the data disk of the CVM %s", fault);
	return err_hint(
		e, "put its disk back; or start with new_disk: true, which creates an empty disk");
}

static int disk_open(const char *path, int *ret, uint64_t *ret_bytes, struct err *e)
{
	/* O_NONBLOCK: open() of a FIFO must not block the job. */
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

/* Read the virtual size in bytes. Refuses a file that is not a complete qcow2 file of its own. */
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
	/* QEMU reads zeros after the end of the file, so a guest would see an empty disk. */
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
			       "has %llu bytes; at least %lld GiB are recorded",
			       (unsigned long long)has, (long long)min_gib);
		return disk_fault(path, e, fault);
	}
	if (has <= (uint64_t)max_gib * GIB)
		return 0;
	err_field(e, ERR_HOST, "disk_size", path,
		  "the data disk of the CVM has %llu bytes; %lld GiB are recorded",
		  (unsigned long long)has, (long long)max_gib);
	return err_hint(e, "put its disk back; or resize the CVM to %llu GiB, if this is its disk",
			(unsigned long long)((has + GIB - 1) / GIB));
}

/* The clusters of an empty disk are, in this order: the header, the table of refcount blocks, a
 * refcount block, the L1 table. The L1 table has no entries yet, so all of the disk reads as zeros.
 * *ret is malloc'd. */
static size_t qcow2_empty(uint64_t size, uint8_t **ret)
{
	const uint64_t l1_entries = (size + L1_COVERS - 1) / L1_COVERS;
	const size_t bytes = 3 * CLUSTER + l1_entries * sizeof(uint64_t);
	const struct qcow2 head = { .magic = htobe32(QCOW2_MAGIC),
				    .version = htobe32(3),
				    .cluster_bits = htobe32(CLUSTER_BITS),
				    .size = htobe64(size),
				    .l1_entries = htobe32((uint32_t)l1_entries),
				    .l1_offset = htobe64(3 * CLUSTER),
				    .refcount_table_offset = htobe64(CLUSTER),
				    .refcount_table_clusters = htobe32(1),
				    .refcount_order = htobe32(REFCOUNT_ORDER),
				    .header_bytes = htobe32(offsetof(struct qcow2, extensions)) };
	const uint64_t refcount_block = htobe64(2 * CLUSTER);
	const uint16_t used = htobe16(1);
	uint8_t *image = xcalloc(1, bytes);

	assert(bytes / CLUSTER < CLUSTER / sizeof(used));
	memcpy(image, &head, sizeof(head));
	memcpy(image + CLUSTER, &refcount_block, sizeof(refcount_block));
	for (size_t i = 0; i * CLUSTER < bytes; i++)
		memcpy(image + 2 * CLUSTER + i * sizeof(used), &used, sizeof(used));
	*ret = image;
	return bytes;
}

int disk_create(const char *path, int64_t gib, struct err *e)
{
	auto_free char *tmp = xasprintf("%s.tmp", path);
	auto_free uint8_t *image = NULL;
	size_t bytes = qcow2_empty((uint64_t)gib * GIB, &image);
	/* A qemu-img of an earlier release that was killed may still write to that file and hold
	 * QEMU's lock, so the file is unlinked and not reused. */
	int r = file_remove_tree(tmp, e);

	/* libvirt changes the owner to QEMU's user while the CVM runs. */
	return r ? r : file_write(path, image, bytes, 0600, e);
}

static int disk_sync(const char *path, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? err_sys(e, errno, "cannot sync %s", path) : 0;
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
	struct err ignored;
	int r = disk_size(path, &has, e);

	if (r || has >= (uint64_t)gib * GIB)
		return r;
	r = child_run(argv, e);
	/* A qemu-img that was killed may have grown the disk before, and not synced it. */
	if (r && !disk_size(path, &has, &ignored) && has >= (uint64_t)gib * GIB)
		return disk_sync(path, e);
	return r;
}
