/* SPDX-License-Identifier: Apache-2.0
 * disk.c - the simulated disk; see disk.h for its model of failures.
 *
 * All state is global and belongs to the single test thread. An unexpected error aborts the test.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/vfs/disk.h"

enum { FILES_MAX = 16, SECTOR = 512 };

enum entry_kind { ENTRY_WRITE, ENTRY_TRUNCATE, ENTRY_SYNC, ENTRY_SYNC_FOLDER, ENTRY_DELETE };

struct disk_entry {
	enum entry_kind kind;
	int file;
	bool durable; /* ENTRY_DELETE: the folder was synced together with it */
	sqlite3_int64 at;
	size_t n;
	unsigned char *bytes;
};

struct disk_content {
	unsigned char *bytes;
	size_t n, cap;
	bool there;
};

static struct {
	sqlite3_vfs vfs, *real;
	char folder[256];
	char name[FILES_MAX][64];
	struct disk_content before[FILES_MAX];
	int files;
	struct disk_entry *log;
	size_t n, cap;
	unsigned long calls, fail_at;
	enum disk_fault fault;
	bool lasting, failed;
} disk;

struct disk_file {
	sqlite3_file base;
	int number; /* -1: not logged */
	/* SQLite's own VFS syncs the folder at the first sync of a journal or write-ahead log that
	 * it opened with SQLITE_OPEN_CREATE (UNIXFILE_DIRSYNC). */
	bool sync_folder;
	sqlite3_file *real;
};

static void *abort_if_null(void *p)
{
	if (!p)
		abort();
	return p;
}

/* Index of the file; -1 for a temporary file or one in another folder. */
static int path_number(const char *path)
{
	size_t n = strlen(disk.folder);
	const char *name;

	if (!path || strncmp(path, disk.folder, n) != 0 || path[n] != '/' ||
	    strchr(path + n + 1, '/'))
		return -1;
	name = path + n + 1;
	for (int i = 0; i < disk.files; i++)
		if (!strcmp(disk.name[i], name))
			return i;
	if (disk.files == FILES_MAX)
		abort();
	(void)snprintf(disk.name[disk.files], sizeof(disk.name[0]), "%s", name);
	return disk.files++;
}

static void disk_append(struct disk_entry e, const void *bytes)
{
	if (e.file < 0)
		return;
	if (disk.n == disk.cap) {
		disk.cap = disk.cap ? disk.cap * 2 : 1024;
		disk.log = abort_if_null(realloc(disk.log, disk.cap * sizeof(*disk.log)));
	}
	if (bytes)
		e.bytes = memcpy(abort_if_null(malloc(e.n)), bytes, e.n);
	disk.log[disk.n++] = e;
}

/* Count a call. Returns its error if it has to fail, otherwise SQLITE_OK. */
static int call_error(int error, bool writes)
{
	if (!disk.fail_at || (disk.fault == DISK_FULL && !writes))
		return SQLITE_OK;
	disk.calls++;
	if (disk.calls < disk.fail_at || (disk.calls > disk.fail_at && !disk.lasting))
		return SQLITE_OK;
	disk.failed = true;
	errno = disk.fault == DISK_FULL ? ENOSPC : EIO; /* for sqlite3_system_errno() */
	return disk.fault == DISK_FULL ? SQLITE_FULL : error;
}

/* ------------------------------------------------------------------ files */

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct disk_file *)f)->real;
}

static int file_number(const sqlite3_file *f)
{
	return ((const struct disk_file *)f)->number;
}

static int f_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int f_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	int rc = call_error(SQLITE_IOERR_READ, false);

	return rc ? rc : real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}

static int f_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	int rc = call_error(SQLITE_IOERR_WRITE, true);

	if (rc)
		return rc;
	disk_append(
		(struct disk_entry){
			.kind = ENTRY_WRITE, .file = file_number(f), .at = at, .n = (size_t)n },
		from);
	return real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int rc = call_error(SQLITE_IOERR_TRUNCATE, false);

	if (rc)
		return rc;
	disk_append(
		(struct disk_entry){ .kind = ENTRY_TRUNCATE, .file = file_number(f), .at = size },
		NULL);
	return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int f_sync(sqlite3_file *f, int flags)
{
	int rc = call_error(SQLITE_IOERR_FSYNC, false);

	(void)flags;
	if (rc)
		return rc;
	disk_append((struct disk_entry){ .kind = ENTRY_SYNC, .file = file_number(f) }, NULL);
	if (((struct disk_file *)f)->sync_folder)
		disk_append(
			(struct disk_entry){ .kind = ENTRY_SYNC_FOLDER, .file = file_number(f) },
			NULL);
	((struct disk_file *)f)->sync_folder = false;
	return SQLITE_OK; /* only the log matters: the real file need not be synced */
}

static int f_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int f_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int f_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int f_reserved(sqlite3_file *f, int *held)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), held);
}

static int f_control(sqlite3_file *f, int what, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), what, arg);
}

static int f_sector(sqlite3_file *f)
{
	(void)f;
	return SECTOR;
}

static int f_traits(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
	int rc = call_error(SQLITE_IOERR_SHMMAP, false);

	return rc ? rc : real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, ret);
}

static int f_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}

static void f_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int f_shm_unmap(sqlite3_file *f, int delete)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), delete);
}

/* Version 2 has no xFetch: SQLite does not map files into memory, so every read is a call. */
static const sqlite3_io_methods methods = { 2,           f_close,    f_read,     f_write,
					    f_truncate,  f_sync,     f_size,     f_lock,
					    f_unlock,    f_reserved, f_control,  f_sector,
					    f_traits,    f_shm_map,  f_shm_lock, f_shm_barrier,
					    f_shm_unmap, NULL,       NULL };

/* ------------------------------------------------------------------ the VFS */

static int v_open(sqlite3_vfs *v, const char *path, sqlite3_file *file, int flags, int *ret_flags)
{
	struct disk_file *f = (struct disk_file *)file;
	int rc = call_error(SQLITE_CANTOPEN, false);

	(void)v;
	f->base.pMethods = NULL;
	if (rc)
		return rc;
	f->real = (sqlite3_file *)(f + 1);
	rc = disk.real->xOpen(disk.real, path, f->real, flags, ret_flags);
	if (f->real->pMethods)
		f->base.pMethods = &methods;
	f->number = rc ? -1 : path_number(path);
	f->sync_folder =
		(flags & SQLITE_OPEN_CREATE) &&
		(flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL));
	return rc;
}

static int v_delete(sqlite3_vfs *v, const char *path, int sync_folder)
{
	int rc = call_error(SQLITE_IOERR_DELETE, false);

	(void)v;
	if (rc)
		return rc;
	rc = disk.real->xDelete(disk.real, path, 0);
	if (!rc)
		disk_append((struct disk_entry){ .kind = ENTRY_DELETE,
						 .file = path_number(path),
						 .durable = sync_folder },
			    NULL);
	return rc;
}

static void disk_read_initial(const char *name)
{
	struct disk_content *c;
	char path[512];
	FILE *f;
	long n;

	(void)snprintf(path, sizeof(path), "%s/%s", disk.folder, name);
	c = &disk.before[path_number(path)];
	f = abort_if_null(fopen(path, "re"));
	if (fseek(f, 0, SEEK_END))
		abort();
	n = ftell(f);
	rewind(f);
	*c = (struct disk_content){ abort_if_null(malloc((size_t)n + 1)), (size_t)n, (size_t)n,
				    true };
	if (fread(c->bytes, 1, c->n, f) != c->n)
		abort();
	(void)fclose(f);
}

void disk_begin(const char *folder)
{
	DIR *d = abort_if_null(opendir(folder));

	memset(&disk, 0, sizeof(disk));
	(void)snprintf(disk.folder, sizeof(disk.folder), "%s", folder);
	for (const struct dirent *e; (e = readdir(d));)
		if (e->d_type == DT_REG && !strstr(e->d_name, "-shm"))
			disk_read_initial(e->d_name);
	(void)closedir(d);
	disk.real = abort_if_null(sqlite3_vfs_find("unix"));
	disk.vfs = *disk.real;
	disk.vfs.zName = "disk";
	disk.vfs.szOsFile = (int)sizeof(struct disk_file) + disk.real->szOsFile;
	disk.vfs.xOpen = v_open;
	disk.vfs.xDelete = v_delete;
	if (sqlite3_vfs_register(&disk.vfs, 1))
		abort();
}

void disk_end(void)
{
	(void)sqlite3_vfs_unregister(&disk.vfs);
	(void)sqlite3_vfs_register(disk.real, 1);
	for (size_t i = 0; i < disk.n; i++)
		free(disk.log[i].bytes);
	for (int i = 0; i < disk.files; i++)
		free(disk.before[i].bytes);
	free(disk.log);
	memset(&disk, 0, sizeof(disk));
}

size_t disk_log(void)
{
	return disk.n;
}

void disk_fail(unsigned long nth, enum disk_fault fault, bool lasting)
{
	disk.calls = 0;
	disk.fail_at = nth;
	disk.fault = fault;
	disk.lasting = lasting;
	disk.failed = false;
}

bool disk_heal(void)
{
	disk.fail_at = 0;
	return disk.failed;
}

/* ------------------------------------------------------------------ power cut */

static uint64_t random_next(uint64_t *s)
{
	/* splitmix64 by Sebastiano Vigna, public domain */
	uint64_t z = (*s += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static bool write_survives(uint64_t seed, uint64_t *state)
{
	return seed == CUT_LOSES_ALL       ? false
	       : seed == CUT_LOSES_NOTHING ? true
					   : random_next(state) & 1;
}

/* The capacity doubles: a file grows by one sector at a time. */
static void content_resize(struct disk_content *c, size_t n)
{
	if (n > c->cap || !c->bytes) {
		c->cap = n > 2 * c->cap ? n : 2 * c->cap;
		c->bytes = abort_if_null(realloc(c->bytes, c->cap + 1));
	}
	if (n > c->n)
		memset(c->bytes + c->n, 0, n - c->n);
	c->n = n;
}

static void content_write(struct disk_content *c, const struct disk_entry *e, size_t from, size_t n)
{
	size_t end = (size_t)e->at + from + n;

	if (end > c->n)
		content_resize(c, end);
	memcpy(c->bytes + e->at + from, e->bytes + from, n);
}

/* An unsynced write: each sector is written or not. */
static void content_write_torn(struct disk_content *c, const struct disk_entry *e, uint64_t seed,
			       uint64_t *state)
{
	for (size_t from = 0; from < e->n;) {
		size_t n = SECTOR - ((size_t)e->at + from) % SECTOR;

		n = n < e->n - from ? n : e->n - from;
		if (write_survives(seed, state))
			content_write(c, e, from, n);
		from += n;
	}
}

static void replay_entry(struct disk_content *c, const struct disk_entry *e, bool synced,
			 bool folder_synced, uint64_t seed, uint64_t *state)
{
	if (e->kind == ENTRY_WRITE) {
		c->there = true;
		if (synced)
			content_write(c, e, 0, e->n);
		else
			content_write_torn(c, e, seed, state);
	} else if (e->kind == ENTRY_TRUNCATE && (synced || write_survives(seed, state))) {
		content_resize(c, (size_t)e->at);
	} else if (e->kind == ENTRY_DELETE &&
		   (e->durable || folder_synced || write_survives(seed, state))) {
		c->there = false;
		c->n = 0;
	}
}

static void content_save(const struct disk_content *c, const char *to, const char *name)
{
	char path[512];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", to, name);
	f = abort_if_null(fopen(path, "we"));
	if (c->n && fwrite(c->bytes, 1, c->n, f) != c->n)
		abort();
	if (fclose(f))
		abort();
}

void disk_cut(size_t n, uint64_t seed, const char *to)
{
	uint64_t state = seed * 0x2545f4914f6cdd1dULL + n;
	size_t folder = 0;

	for (size_t k = 0; k < n; k++)
		if (disk.log[k].kind == ENTRY_SYNC_FOLDER)
			folder = k;
	for (int i = 0; i < disk.files; i++) {
		struct disk_content c = { .there = disk.before[i].there };
		size_t synced = 0;

		content_resize(&c, disk.before[i].n);
		if (c.n)
			memcpy(c.bytes, disk.before[i].bytes, c.n);
		for (size_t k = 0; k < n; k++)
			if (disk.log[k].file == i && disk.log[k].kind == ENTRY_SYNC)
				synced = k;
		for (size_t k = 0; k < n; k++)
			if (disk.log[k].file == i)
				replay_entry(&c, &disk.log[k], k < synced, k < folder, seed,
					     &state);
		if (c.there)
			content_save(&c, to, disk.name[i]);
		free(c.bytes);
	}
}
