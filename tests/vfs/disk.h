/* SPDX-License-Identifier: Apache-2.0
 * disk.h - a simulated disk: a SQLite VFS that logs writes and syncs, fails on request, and writes
 * out the files as a power cut would leave them.
 *
 * The VFS wraps SQLite's own ("unix") and is the default between disk_begin() and disk_end(). It
 * logs the files of one folder, without subfolders. The index of the write-ahead log (-shm) is
 * memory: it is not logged, and a power cut does not leave it.
 *
 * The model of a power cut follows sqlite.org/atomiccommit.html and POSIX. Data before the last
 * sync of a file is complete. Of later writes, each 512-byte sector is either written or not, in
 * any order; bytes outside the written range do not change (SQLITE_IOCAP_POWERSAFE_OVERWRITE, which
 * SQLite's own VFS assumes too). A deleted file may exist again unless its folder was synced since.
 */
#ifndef TEEPOD_TESTS_VFS_DISK_H
#define TEEPOD_TESTS_VFS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Start to log operations in @folder, an absolute path. The current contents of its files count as
 * synced. */
void disk_begin(const char *folder);
/* Remove the VFS and free the log. All connections must be closed. */
void disk_end(void);

/* Number of entries in the log: writes, truncations, syncs and deletions. */
size_t disk_log(void);

/* Seeds for disk_cut(): lose all unsynced writes, or none. Any other seed selects them at random.
 */
enum { CUT_LOSES_ALL = 0, CUT_LOSES_NOTHING = 1 };

/* Write to @to, an empty folder, the files as a power cut after the first @n log entries leaves
 * them.
 */
void disk_cut(size_t n, uint64_t seed, const char *to);

enum disk_fault {
	DISK_IOERR, /* any call fails, with the SQLITE_IOERR code of its kind */
	DISK_FULL,  /* writes fail, with SQLITE_FULL */
};

/* Let the @nth call from now on fail (1: the next one); with @lasting, all calls after it too. */
void disk_fail(unsigned long nth, enum disk_fault fault, bool lasting);
/* Stop failing. True if a call has failed. */
bool disk_heal(void);

#endif
