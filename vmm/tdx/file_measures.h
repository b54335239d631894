/* SPDX-License-Identifier: Apache-2.0
 * file_measures.h - MRTD, RTMR1 and RTMR2 of the files a TD boots from, each with its value or why
 * there is none.
 *
 * Reading and hashing them takes a second or more, so the result says of which files it is, and is
 * taken again while these are unchanged.
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

/* Printf-like: no value, and why. */
void measure_failed(struct measured *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct boot_files {
	const char *firmware;
	const char *kernel, *initrd; /* NULL: the image boots by a boot loader of its own */
	const char *cmdline;         /* NULL: none */
	const char *qemu;            /* version, "11.1.2"; NULL: not known */
	uint64_t memory_mib;
	bool kernel_normalized; /* the firmware measures the kernel's file whatever QEMU made of its
				   header */
};

/* What tells a file from another: stat(2). All zeros: there is no such file. */
struct file_id {
	uint64_t dev, ino, size;
	int64_t mtime_ns;
};

struct file_measures {
	struct measured mrtd, rtmr1, rtmr2;
	/* of what: */
	struct file_id firmware, kernel, initrd;
	uint64_t memory_mib; /* 0: the same for every amount of memory */
};

/* [job] Look at the files, and work it out unless @known (may be NULL) is of the same ones. A file
 * that can not be read is a reason, not an error. @known has to be of the same @f but for the
 * files' content: same image, firmware path and QEMU. */
void file_measures(const struct boot_files *f, const struct file_measures *known,
		   struct file_measures *ret);

/* Does @qemu ("11.1.2") hand the kernel to a TD as it is? From 10.2 on. False if NULL. */
bool qemu_leaves_kernel_alone(const char *qemu);

#endif
