/* SPDX-License-Identifier: Apache-2.0
 * file_measures.h - MRTD, RTMR1 and RTMR2 of the files a TD boots from.
 *
 * Reading and hashing take a second or more. So the result names its files, and can be reused while
 * these are unchanged.
 */
#ifndef TEEPOD_VMM_TDX_FILE_MEASURES_H
#define TEEPOD_VMM_TDX_FILE_MEASURES_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/tdx/tdvf.h"

struct measured {
	bool known;
	uint8_t value[SHA384_LEN]; /* if known */
	char reason[240];          /* if not, for people */
};

/* Record that the value is not known, and the reason. */
void measure_failed(struct measured *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct boot_files {
	const char *firmware;
	const char *kernel, *initrd; /* NULL: the image boots with a boot loader of its own */
	const char *cmdline;         /* NULL: none */
	const char *qemu;            /* version, "11.1.2"; NULL: unknown */
	uint64_t memory_mib;
	bool kernel_normalized; /* the firmware measures the kernel file, not the header that QEMU
				   changed */
};

/* Identity of a file, from stat(2). All zeros: there is no such file. */
struct file_id {
	uint64_t dev, ino, size;
	int64_t mtime_ns;
};

struct file_measures {
	struct measured mrtd, rtmr1, rtmr2;
	/* the inputs: */
	struct file_id firmware, kernel, initrd;
	uint64_t memory_mib; /* 0: valid for every amount of memory */
};

/* [job] Measure the files, or copy @known (may be NULL) if its files are unchanged. A file that
 * cannot be read is a reason, not an error. @known must be of the same image, firmware path and
 * QEMU. */
void file_measures(const struct boot_files *f, const struct file_measures *known,
		   struct file_measures *ret);

/* True if @qemu ("11.1.2") passes the kernel to a TD unchanged, which is so from 10.2. False if
 * NULL. */
bool qemu_leaves_kernel_alone(const char *qemu);

#endif
