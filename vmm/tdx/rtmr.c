/* SPDX-License-Identifier: Apache-2.0
 * rtmr.c - computes RTMR1 and RTMR2 of a directly booted kernel. Pure.
 *
 * What must hold: the result is what edk2, Linux and QEMU measure, and files may be hostile: every
 * offset is checked against the size of the file. Which events are measured: rtmr.h.
 */
#include "vmm/tdx/rtmr.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/strings.h"

static uint64_t rtmr_le(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	assert(bytes <= sizeof(v));
	while (bytes--)
		v = v << 8 | p[bytes];
	return v;
}

static void rtmr_set_le(uint8_t *p, unsigned bytes, uint64_t v)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

void sha384(const void *data, size_t n, uint8_t ret[SHA384_LEN])
{
	if (!EVP_Digest(data, n, ret, NULL, EVP_sha384(), NULL))
		abort();
}

static void rtmr_extend(uint8_t reg[SHA384_LEN], const uint8_t digest[SHA384_LEN])
{
	uint8_t both[2 * SHA384_LEN];

	memcpy(both, reg, SHA384_LEN);
	memcpy(both + SHA384_LEN, digest, SHA384_LEN);
	sha384(both, sizeof(both), reg);
}

static void extend_data(uint8_t reg[SHA384_LEN], const void *data, size_t n)
{
	uint8_t digest[SHA384_LEN];

	sha384(data, n, digest);
	rtmr_extend(reg, digest);
}

/* ------------------------------------------------------------------ the kernel as a PE file */

enum {
	PE_SECTIONS_MAX = 96, /* the format's own limit */
	SECTION_HEADER = 40,
	COFF_HEADER = 20,
	PE32 = 0x10b,
	PE32_PLUS = 0x20b,
	CERTIFICATES = 4, /* index in the data directory */
};

struct pe {
	const uint8_t *file;
	size_t n;
	size_t checksum;     /* where */
	size_t certificates; /* where the directory entry is; 0: there is none */
	size_t headers;      /* size */
	size_t certificates_size;
	size_t sections; /* where */
	unsigned n_sections;
};

struct extent {
	uint64_t at, n;
};

static int not_a_pe(struct err *e, const char *what)
{
	return err_field(e, ERR_INVALID, "kernel", NULL, "the kernel is not an EFI application: %s",
			 what);
}

static int read_optional_header(struct pe *p, size_t at, size_t size, struct err *e)
{
	uint64_t magic = rtmr_le(p->file + at, 2);
	size_t directory = magic == PE32_PLUS ? 112 : 96;

	if (magic != PE32 && magic != PE32_PLUS)
		return not_a_pe(e, "its optional header is of an unknown kind");
	if (size < directory)
		return not_a_pe(e, "its optional header is too short");
	p->checksum = at + 64;
	p->headers = (size_t)rtmr_le(p->file + at + 60, 4);
	if (rtmr_le(p->file + at + directory - 4, 4) <= CERTIFICATES)
		return 0;
	if (size < directory + 8 * (CERTIFICATES + 1))
		return not_a_pe(e, "its data directory is longer than its optional header");
	p->certificates = at + directory + 8 * CERTIFICATES;
	p->certificates_size = (size_t)rtmr_le(p->file + p->certificates + 4, 4);
	return 0;
}

static int pe_read(const uint8_t *file, size_t n, struct pe *ret, struct err *e)
{
	struct pe p = { .file = file, .n = n };
	size_t coff, optional, size;

	if (n < 64 || memcmp(file, "MZ", 2) != 0)
		return not_a_pe(e, "it does not begin with MZ");
	coff = (size_t)rtmr_le(file + 0x3c, 4);
	if (coff > n - 64 || n - coff < 4 + COFF_HEADER + 2 ||
	    memcmp(file + coff, "PE\0\0", 4) != 0)
		return not_a_pe(e, "it has no PE header");
	coff += 4;
	optional = coff + COFF_HEADER;
	size = (size_t)rtmr_le(file + coff + 16, 2);
	p.n_sections = (unsigned)rtmr_le(file + coff + 2, 2);
	p.sections = optional + size;
	if (size < 2 || p.n_sections > PE_SECTIONS_MAX || p.sections > n ||
	    (size_t)p.n_sections * SECTION_HEADER > n - p.sections)
		return not_a_pe(e, "its headers are longer than the file");
	if (read_optional_header(&p, optional, size, e) < 0)
		return -(int)e->code;
	if (p.headers > n || p.headers < (p.certificates ? p.certificates + 8 : p.checksum + 4))
		return not_a_pe(e, "the size of its headers is wrong");
	*ret = p;
	return 0;
}

static int extent_order(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/* Sections with data, in the order of the file. */
static unsigned pe_extents(const struct pe *p, struct extent out[PE_SECTIONS_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->n_sections; i++) {
		const uint8_t *s = p->file + p->sections + (size_t)i * SECTION_HEADER;

		if (rtmr_le(s + 16, 4))
			out[n++] = (struct extent){ rtmr_le(s + 20, 4), rtmr_le(s + 16, 4) };
	}
	qsort(out, n, sizeof(out[0]), extent_order);
	return n;
}

/* Bytes behind the last section that are not the certificate are hashed, too. */
static int pe_tail(const struct pe *p, const struct extent *v, unsigned n, struct extent *ret,
		   struct err *e)
{
	uint64_t sum = p->headers;

	for (unsigned i = 0; i < n; i++) {
		if (v[i].at > p->n || v[i].n > p->n - v[i].at)
			return not_a_pe(e, "a section lies outside the file");
		sum += v[i].n;
	}
	*ret = (struct extent){ 0, 0 };
	if (p->n <= sum)
		return 0;
	if (p->n - sum < p->certificates_size)
		return not_a_pe(e, "its certificates are longer than the file");
	*ret = (struct extent){ sum, p->n - sum - p->certificates_size };
	return 0;
}

static void rtmr_put(EVP_MD_CTX *ctx, const void *data, size_t n)
{
	if (!EVP_DigestUpdate(ctx, data, n))
		abort();
}

static void put_headers(EVP_MD_CTX *ctx, const struct pe *p)
{
	size_t from = p->checksum + 4;

	rtmr_put(ctx, p->file, p->checksum);
	if (p->certificates) {
		rtmr_put(ctx, p->file + from, p->certificates - from);
		from = p->certificates + 8;
	}
	rtmr_put(ctx, p->file + from, p->headers - from);
}

int pe_digest(const uint8_t *file, size_t n, uint8_t ret[SHA384_LEN], struct err *e)
{
	struct extent v[PE_SECTIONS_MAX], tail = { 0 };
	struct pe p = { 0 };
	EVP_MD_CTX *ctx;
	unsigned count;

	if (pe_read(file, n, &p, e) < 0)
		return -(int)e->code;
	count = pe_extents(&p, v);
	if (pe_tail(&p, v, count, &tail, e) < 0)
		return -(int)e->code;
	ctx = EVP_MD_CTX_new();
	if (!ctx || !EVP_DigestInit_ex(ctx, EVP_sha384(), NULL))
		abort();
	put_headers(ctx, &p);
	for (unsigned i = 0; i < count; i++)
		rtmr_put(ctx, file + v[i].at, (size_t)v[i].n);
	rtmr_put(ctx, file + tail.at, (size_t)tail.n);
	if (!EVP_DigestFinal_ex(ctx, ret, NULL))
		abort();
	EVP_MD_CTX_free(ctx);
	return 0;
}

/* ------------------------------------------------------------------ the kernel that QEMU
 * before 10.2 passes */

/* Offsets in the setup header: Linux Documentation/arch/x86/boot.rst. */
enum {
	SETUP_MAGIC = 0x202,
	PROTOCOL = 0x206,
	TYPE_OF_LOADER = 0x210,
	LOADFLAGS = 0x211,
	RAMDISK_IMAGE = 0x218,
	RAMDISK_SIZE = 0x21c,
	HEAP_END_PTR = 0x224,
	CMD_LINE_PTR = 0x228,
	INITRD_ADDR_MAX = 0x22c,
	XLOADFLAGS = 0x236,
	SETUP_END = 0x268,
	LOADED_HIGH = 0x01,
	CAN_USE_HEAP = 0x80,
	ABOVE_4G = 0x02,
	QEMU_LOADER = 0xb0,
	REAL_ADDRESS = 0x10000,
	CMDLINE_ADDRESS = 0x20000,
	ACPI_DATA = 0x28000, /* every PC machine keeps this much free at the end of low memory */
};

/* Machine q35 splits its memory at 2 GiB, and at 2.75 GiB if all of it fits below. */
static uint64_t below_4g(uint64_t memory)
{
	const uint64_t whole = 0xb0000000, split = 0x80000000;

	return memory < whole ? memory : split;
}

static uint64_t initrd_limit(const uint8_t *kernel, uint64_t memory_mib)
{
	uint64_t top = below_4g(memory_mib << 20) - ACPI_DATA - 1;
	uint64_t max = rtmr_le(kernel + XLOADFLAGS, 2) & ABOVE_4G
			       ? UINT32_MAX
			       : rtmr_le(kernel + INITRD_ADDR_MAX, 4);

	return max < top ? max : top;
}

int kernel_header_patch(uint8_t *kernel, size_t n, uint64_t initrd_size, uint64_t memory_mib,
			struct err *e)
{
	uint64_t limit;

	if (n < SETUP_END || memcmp(kernel + SETUP_MAGIC, "HdrS", 4) != 0 ||
	    rtmr_le(kernel + PROTOCOL, 2) < 0x20c || !(kernel[LOADFLAGS] & LOADED_HIGH))
		return err_field(e, ERR_INVALID, "kernel", NULL,
				 "the kernel is not a bzImage of boot protocol 2.12 or newer");
	limit = memory_mib ? initrd_limit(kernel, memory_mib) : 0;
	if (initrd_size >= limit)
		return err_field(e, ERR_INCOMPATIBLE, "memory", NULL,
				 "the initrd does not fit into %llu MiB",
				 (unsigned long long)memory_mib);
	kernel[TYPE_OF_LOADER] = QEMU_LOADER;
	kernel[LOADFLAGS] |= CAN_USE_HEAP;
	rtmr_set_le(kernel + HEAP_END_PTR, 2, CMDLINE_ADDRESS - REAL_ADDRESS - 0x200);
	rtmr_set_le(kernel + CMD_LINE_PTR, 4, CMDLINE_ADDRESS);
	rtmr_set_le(kernel + RAMDISK_IMAGE, 4, (limit - initrd_size) & ~4095ULL);
	rtmr_set_le(kernel + RAMDISK_SIZE, 4, initrd_size);
	return 0;
}

/* ------------------------------------------------------------------ registers */

void rtmr1_of(const uint8_t kernel_digest[SHA384_LEN], uint8_t ret[SHA384_LEN])
{
	static const char calling[] = "Calling EFI Application from Boot Option";
	static const char leaving[] = "Exit Boot Services Invocation";
	static const char left[] = "Exit Boot Services Returned with Success";
	static const uint8_t separator[4];

	memset(ret, 0, SHA384_LEN);
	rtmr_extend(ret, kernel_digest);
	extend_data(ret, calling, strlen(calling));
	extend_data(ret, separator, sizeof(separator));
	extend_data(ret, leaving, strlen(leaving));
	extend_data(ret, left, strlen(left));
}

static int put_wide(struct buf *b, const char *s, struct err *e)
{
	for (; *s; s++) {
		if ((unsigned char)*s > 0x7e)
			return err_field(e, ERR_INVALID, "cmdline", NULL,
					 "the kernel command line has a byte that is not ASCII");
		buf_add(b, (const char[]){ *s, 0 }, 2);
	}
	return 0;
}

int rtmr2_of(const char *cmdline, enum initrd_word word, const uint8_t initrd_digest[SHA384_LEN],
	     uint8_t ret[SHA384_LEN], struct err *e)
{
	auto_free char *line =
		xasprintf("%s%s%s", word == INITRD_WORD_FIRST ? "initrd=initrd " : "", cmdline,
			  word == INITRD_WORD_LAST ? " initrd=initrd" : "");
	auto_buf struct buf wide = { 0 };

	if (put_wide(&wide, line, e) < 0)
		return -(int)e->code;
	buf_add(&wide, "\0", 2);
	memset(ret, 0, SHA384_LEN);
	extend_data(ret, wide.data, wide.len);
	rtmr_extend(ret, initrd_digest);
	return 0;
}
