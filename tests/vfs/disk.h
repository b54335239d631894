/* SPDX-License-Identifier: Apache-2.0
 * disk.h - a disk that fails: a SQLite VFS that logs what is written and synced, fails on request,
 * and shows what a power cut would have left.
 *
 * The VFS stands before SQLite's own ("unix") and is the default one between disk_begin() and
 * disk_end(). It logs the files of one folder, not of those below it. The index of the log (-shm)
 * is memory, never on disk, and neither logged nor left by a cut.
 *
 * What a cut may leave follows what sqlite.org/atomiccommit.html and POSIX promise of a disk: all
 * before the last sync of a file is there. Of what was written after it, each 512-byte sector may
 * be there or not, in any order; bytes outside the range that was written are untouched
 * (SQLITE_IOCAP_POWERSAFE_OVERWRITE, which SQLite's own VFS assumes too). A file that was deleted
 * may be there again unless its folder was synced since.
 */
#ifndef TEEPOD_TESTS_VFS_DISK_H
#define TEEPOD_TESTS_VFS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Log from now on what happens in @folder, an absolute path. Its files, as they are now, are what
 * was synced before. */
void disk_begin(const char *folder);
/* No connection may be open any more. */
void disk_end(void);

/* Writes, truncations, syncs and deletions so far. */
size_t disk_log(void);

/* What is lost of that which was not synced: all of it, nothing, or what the seed says (any other
 * value). */
enum { CUT_LOSES_ALL = 0, CUT_LOSES_NOTHING = 1 };

/* Write the files as a cut after the first @n entries of the log leaves them into @to, an empty
 * folder. */
void disk_cut(size_t n, uint64_t seed, const char *to);

enum disk_fault {
	DISK_IOERR, /* reads, writes, truncations, syncs, deletions, openings: SQLITE_IOERR of their
		       kind */
	DISK_FULL,  /* writes only: SQLITE_FULL */
};

/* The @nth call (from 1) of those from now on fails; with @lasting all after it too. */
void disk_fail(unsigned long nth, enum disk_fault fault, bool lasting);
/* No failures any more. Did one happen? */
bool disk_heal(void);

#endif
