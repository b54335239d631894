/* SPDX-License-Identifier: Apache-2.0
 * file_measures.c - computes MRTD, RTMR1 and RTMR2 of the files a TD boots from.
 *
 * The registers are computed in tdvf.c and rtmr.c. This file reads the files, and reports for each
 * register the value or the reason why there is none.
 */
#include "vmm/tdx/file_measures.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lanes.h"
#include "base/own.h"
#include "vmm/tdx/firmware.h"
#include "vmm/tdx/rtmr.h"

enum { FIRMWARE_MAX = 64 << 20, KERNEL_MAX = 512 << 20, CHUNK = 1 << 18 };

void measure_failed(struct measured *m, const char *fmt, ...)
{
	va_list ap;

	*m = (struct measured){ 0 };
	va_start(ap, fmt);
	(void)vsnprintf(m->reason, sizeof(m->reason), fmt, ap);
	va_end(ap);
}

static struct file_id file_identity(const char *path)
{
	struct stat st;

	if (!path || stat(path, &st) < 0)
		return (struct file_id){ 0 };
	return (struct file_id){ .dev = st.st_dev,
				 .ino = st.st_ino,
				 .size = (uint64_t)st.st_size,
				 .mtime_ns =
					 st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec };
}

static bool same_file(const struct file_id *a, const struct file_id *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns;
}

static int sha384_fd(int fd, EVP_MD_CTX *ctx)
{
	auto_free char *chunk = xmalloc(CHUNK);

	for (;;) {
		ssize_t n = read(fd, chunk, CHUNK);

		if (job_is_cancelled())
			return -ECANCELED;
		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!EVP_DigestUpdate(ctx, chunk, (size_t)n))
			abort();
	}
}

static int sha384_file(const char *path, uint8_t ret[SHA384_LEN], struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	EVP_MD_CTX *ctx;
	int r;

	if (fd < 0)
		return err_sys(e, errno, "cannot read %s", path);
	ctx = EVP_MD_CTX_new();
	if (!ctx || !EVP_DigestInit_ex(ctx, EVP_sha384(), NULL))
		abort();
	r = sha384_fd(fd, ctx);
	if (!EVP_DigestFinal_ex(ctx, ret, NULL))
		abort();
	EVP_MD_CTX_free(ctx);
	return r ? err_sys(e, -r, "cannot read %s", path) : 0;
}

/* ------------------------------------------------------------------ MRTD */

struct firmware {
	char *data; /* owned; NULL: not read */
	size_t n;
	bool known_ways;
	struct firmware_ways ways;
};

static void measure_firmware(const struct boot_files *f, struct firmware *fw, struct measured *ret)
{
	struct measured m = { .known = true };
	struct err e;

	if (file_read(f->firmware, FIRMWARE_MAX, &fw->data, &fw->n, &e) < 0 ||
	    tdvf_mrtd((const uint8_t *)fw->data, fw->n, m.value, &e) < 0) {
		measure_failed(ret, "%s", e.text);
		return;
	}
	fw->known_ways = firmware_ways((const uint8_t *)fw->data, fw->n, &fw->ways);
	*ret = m;
}

/* ------------------------------------------------------------------ RTMR1 */

bool qemu_leaves_kernel_alone(const char *qemu)
{
	unsigned major = 0, minor = 0;

	return qemu && sscanf(qemu, "%4u.%4u", &major, &minor) == 2 &&
	       (major > 10 || (major == 10 && minor >= 2));
}

static int kernel_digest(const struct boot_files *f, bool patched, uint64_t initrd_size,
			 uint8_t ret[SHA384_LEN], struct err *e)
{
	auto_free char *kernel = NULL;
	size_t n = 0;

	if (file_read(f->kernel, KERNEL_MAX, &kernel, &n, e) < 0 ||
	    (patched &&
	     kernel_header_patch((uint8_t *)kernel, n, initrd_size, f->memory_mib, e) < 0))
		return -(int)e->code;
	return pe_digest((const uint8_t *)kernel, n, ret, e);
}

static void measure_kernel(const struct boot_files *f, const struct firmware *fw,
			   struct file_measures *ret)
{
	bool unchanged =
		f->kernel_normalized || fw->ways.named_blobs || qemu_leaves_kernel_alone(f->qemu);
	struct measured m = { .known = true };
	uint8_t digest[SHA384_LEN];
	struct err e;

	if (!unchanged && !f->qemu) {
		measure_failed(&ret->rtmr1, "the version of QEMU is not known");
		return;
	}
	/* QEMU reads this option and writes the video mode to the setup header. */
	if (!unchanged && f->cmdline && strstr(f->cmdline, "vga=")) {
		measure_failed(
			&ret->rtmr1,
			"QEMU %s writes vga= from the kernel command line to the kernel's header",
			f->qemu);
		return;
	}
	if (kernel_digest(f, !unchanged, ret->initrd.size, digest, &e) < 0) {
		measure_failed(&ret->rtmr1, "%s", e.text);
		return;
	}
	ret->memory_mib = unchanged ? 0 : f->memory_mib;
	rtmr1_of(digest, m.value);
	ret->rtmr1 = m;
}

/* ------------------------------------------------------------------ RTMR2 */

static void measure_options(const struct boot_files *f, const struct firmware *fw,
			    struct measured *ret)
{
	struct measured m = { .known = true };
	uint8_t initrd[SHA384_LEN];
	struct err e;

	if (sha384_file(f->initrd, initrd, &e) < 0 ||
	    rtmr2_of(f->cmdline ? f->cmdline : "", fw->ways.initrd_word, initrd, m.value, &e) < 0)
		measure_failed(ret, "%s", e.text);
	else
		*ret = m;
}

static void measure_boot(const struct boot_files *f, const struct firmware *fw,
			 struct file_measures *ret)
{
	static const char loader[] =
		"the image boots with its own boot loader, which makes its own measurements";
	static const char other[] =
		"this firmware is unknown: it does not start a kernel like edk2 with fw_cfg";
	const char *why = !f->kernel || !f->initrd ? loader : !fw->known_ways ? other : NULL;

	if (why) {
		measure_failed(&ret->rtmr1, "%s", ret->mrtd.known ? why : ret->mrtd.reason);
		measure_failed(&ret->rtmr2, "%s", ret->mrtd.known ? why : ret->mrtd.reason);
		return;
	}
	measure_kernel(f, fw, ret);
	measure_options(f, fw, &ret->rtmr2);
}

void file_measures(const struct boot_files *f, const struct file_measures *known,
		   struct file_measures *ret)
{
	struct file_measures m = { .firmware = file_identity(f->firmware),
				   .kernel = file_identity(f->kernel),
				   .initrd = file_identity(f->initrd) };
	struct firmware fw = { 0 };

	if (known && same_file(&known->firmware, &m.firmware) &&
	    same_file(&known->kernel, &m.kernel) && same_file(&known->initrd, &m.initrd) &&
	    (!known->memory_mib || known->memory_mib == f->memory_mib)) {
		*ret = *known;
		return;
	}
	measure_firmware(f, &fw, &m.mrtd);
	measure_boot(f, &fw, &m);
	free(fw.data);
	*ret = m;
}
