/* SPDX-License-Identifier: Apache-2.0
 * tdvf.c - computes MRTD of a firmware file. Pure.
 *
 * What must hold: every offset is checked against the file before it is used, because an image may
 * contain a hostile firmware. The checks are those of QEMU (hw/i386/tdvf.c,
 * hw/i386/pc_sysfw_ovmf.c), so that what is measured here is what QEMU would load.
 */
#include "vmm/tdx/tdvf.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

enum {
	ROM_UNIT = 65536, /* QEMU accepts no firmware of another size */
	GUID_LEN = 16,
	ENTRY_FOOT = GUID_LEN + 2, /* an entry of the table ends with its length and its GUID */
	AFTER_TABLE = 32,
	METADATA_HEAD = 16,
	SECTION_LEN = 32,
	SECTIONS_MAX = 64,
	PAGE = 4096,
	CHUNK = 256,
};

static const uint64_t added_max = 1ULL << 30;

enum section_type { BFV, CFV, TD_HOB, TEMP_MEM };
enum { ATTRIBUTE_EXTEND = 1 };

struct section {
	uint32_t data_offset, data_size;
	uint64_t address, size;
	uint32_t type, attributes;
};

struct view {
	const uint8_t *data;
	size_t n;
};

/* 96b582de-1fb2-45f7-baea-a366c55a082d and e47a6535-984a-4798-865e-4685a7bf8ec2, as they lie in
 * memory */
static const uint8_t table_guid[GUID_LEN] = { 0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45,
					      0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d };
static const uint8_t metadata_guid[GUID_LEN] = { 0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47,
						 0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2 };

static uint64_t tdvf_le(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | p[bytes];
	return v;
}

static int tdvf_invalid(struct err *e, const char *what)
{
	return err_field(e, ERR_INVALID, "firmware", NULL, "the firmware is not a TDVF: %s", what);
}

/* ------------------------------------------------------------------ metadata */

/* Entries are read upwards from the end of the table: data, length of the whole entry, GUID. */
static int tdvf_find_metadata(struct view fw, size_t *ret, struct err *e)
{
	size_t foot = fw.n - AFTER_TABLE - ENTRY_FOOT, left = (size_t)tdvf_le(fw.data + foot, 2);

	if (memcmp(fw.data + foot + 2, table_guid, GUID_LEN) != 0)
		return tdvf_invalid(e, "it does not end with a GUID table");
	if (left < ENTRY_FOOT || left - ENTRY_FOOT > foot)
		return tdvf_invalid(e, "its GUID table is longer than the file");
	left -= ENTRY_FOOT;
	while (left >= ENTRY_FOOT) {
		size_t length = (size_t)tdvf_le(fw.data + foot - ENTRY_FOOT, 2);

		if (length < ENTRY_FOOT || length > left)
			return tdvf_invalid(e,
					    "an entry of its GUID table is longer than the table");
		if (!memcmp(fw.data + foot - GUID_LEN, metadata_guid, GUID_LEN)) {
			uint64_t from_end =
				length >= ENTRY_FOOT + 4 ? tdvf_le(fw.data + foot - length, 4) : 0;

			if (from_end < METADATA_HEAD || from_end > fw.n)
				return tdvf_invalid(e, "its TDX metadata lies outside the file");
			*ret = fw.n - (size_t)from_end;
			return 0;
		}
		foot -= length;
		left -= length;
	}
	return tdvf_invalid(e, "it has no TDX metadata, so it cannot start a TD");
}

static int tdvf_check_size(struct view fw, struct err *e)
{
	return fw.n && fw.n % ROM_UNIT == 0 ? 0
					    : tdvf_invalid(e, "its size is no multiple of 64 KiB");
}

static int tdvf_read_head(struct view fw, size_t at, unsigned *ret_sections, struct err *e)
{
	const uint8_t *p = fw.data + at;
	uint64_t length = tdvf_le(p + 4, 4), n = tdvf_le(p + 12, 4);

	if (memcmp(p, "TDVF", 4) != 0)
		return tdvf_invalid(e, "its TDX metadata has no signature");
	if (tdvf_le(p + 8, 4) != 1)
		return tdvf_invalid(e, "its TDX metadata is of an unknown version");
	if (n < 2 || n > SECTIONS_MAX)
		return tdvf_invalid(e, "its TDX metadata does not have 2 to 64 sections");
	if (length != METADATA_HEAD + n * SECTION_LEN || length > fw.n - at)
		return tdvf_invalid(e, "the length of its TDX metadata is wrong");
	*ret_sections = (unsigned)n;
	return 0;
}

/* ------------------------------------------------------------------ sections */

static struct section tdvf_read_section(const uint8_t *p)
{
	return (struct section){ .data_offset = (uint32_t)tdvf_le(p, 4),
				 .data_size = (uint32_t)tdvf_le(p + 4, 4),
				 .address = tdvf_le(p + 8, 8),
				 .size = tdvf_le(p + 16, 8),
				 .type = (uint32_t)tdvf_le(p + 24, 4),
				 .attributes = (uint32_t)tdvf_le(p + 28, 4) };
}

static bool is_section_from_file(const struct section *s)
{
	return s->type == BFV || s->type == CFV;
}

static int tdvf_check_section(struct view fw, const struct section *s, struct err *e)
{
	if (s->type > TEMP_MEM)
		return tdvf_invalid(e, "a section is of an unknown type");
	if (s->address % PAGE || s->size % PAGE)
		return tdvf_invalid(e, "a section does not consist of whole pages");
	if (s->size > added_max || s->address > UINT64_MAX - s->size)
		return tdvf_invalid(e, "a section is larger than 1 GiB");
	if (s->size < s->data_size)
		return tdvf_invalid(e, "a section has more data than memory");
	if (is_section_from_file(s) != (s->data_size != 0))
		return tdvf_invalid(e, "a section has no data, or data where there is none to be");
	/* QEMU adds all memory of the section from the file, even if its data is shorter. */
	if (is_section_from_file(s) && (s->data_offset > fw.n || s->size > fw.n - s->data_offset))
		return tdvf_invalid(e, "a section's data lies outside the file");
	if (s->type == TD_HOB && s->attributes & ATTRIBUTE_EXTEND)
		return tdvf_invalid(
			e, "its TD HOB is measured, but QEMU creates its content at the start");
	return 0;
}

static int tdvf_check_sections(struct view fw, size_t at, unsigned n, struct err *e)
{
	uint64_t added = 0;
	bool hob = false;

	for (unsigned i = 0; i < n; i++) {
		struct section s =
			tdvf_read_section(fw.data + at + METADATA_HEAD + (size_t)i * SECTION_LEN);

		if (tdvf_check_section(fw, &s, e) < 0)
			return -(int)e->code;
		added += s.size;
		hob = hob || s.type == TD_HOB;
	}
	if (added > added_max)
		return tdvf_invalid(e, "its sections are larger than 1 GiB together");
	return hob ? 0 : tdvf_invalid(e, "it has no place for the TD HOB");
}

/* ------------------------------------------------------------------ MRTD */

static void mrtd_put(EVP_MD_CTX *ctx, const void *data, size_t n)
{
	if (!EVP_DigestUpdate(ctx, data, n))
		abort();
}

static void mrtd_put_call(EVP_MD_CTX *ctx, const char *name, uint64_t address)
{
	uint8_t block[128] = { 0 };

	assert(strlen(name) <= 16);
	memcpy(block, name, strlen(name));
	for (int i = 0; i < 8; i++)
		block[16 + i] = (uint8_t)(address >> (8 * i));
	mrtd_put(ctx, block, sizeof(block));
}

/* @content: the page; NULL: a page of zeros. */
static void mrtd_extend_page(EVP_MD_CTX *ctx, uint64_t address, const uint8_t *content)
{
	static const uint8_t zeros[CHUNK];

	for (unsigned at = 0; at < PAGE; at += CHUNK) {
		mrtd_put_call(ctx, "MR.EXTEND", address + at);
		mrtd_put(ctx, content ? content + at : zeros, CHUNK);
	}
}

static void mrtd_add_section(EVP_MD_CTX *ctx, struct view fw, const struct section *s)
{
	assert(s->size % PAGE == 0);
	for (uint64_t at = 0; at < s->size; at += PAGE) {
		assert(!is_section_from_file(s) || s->data_offset + at + PAGE <= fw.n);
		mrtd_put_call(ctx, "MEM.PAGE.ADD", s->address + at);
		if (s->attributes & ATTRIBUTE_EXTEND)
			mrtd_extend_page(ctx, s->address + at,
					 is_section_from_file(s) ? fw.data + s->data_offset + at
								 : NULL);
	}
}

int tdvf_mrtd(const uint8_t *firmware, size_t n, uint8_t ret[SHA384_LEN], struct err *e)
{
	struct view fw = { firmware, n };
	unsigned sections = 0;
	EVP_MD_CTX *ctx;
	size_t at = 0;

	if (tdvf_check_size(fw, e) < 0 || tdvf_find_metadata(fw, &at, e) < 0 ||
	    tdvf_read_head(fw, at, &sections, e) < 0 ||
	    tdvf_check_sections(fw, at, sections, e) < 0)
		return -(int)e->code;
	ctx = EVP_MD_CTX_new();
	if (!ctx || !EVP_DigestInit_ex(ctx, EVP_sha384(), NULL))
		abort();
	for (unsigned i = 0; i < sections; i++) {
		struct section s =
			tdvf_read_section(firmware + at + METADATA_HEAD + (size_t)i * SECTION_LEN);

		mrtd_add_section(ctx, fw, &s);
	}
	if (!EVP_DigestFinal_ex(ctx, ret, NULL))
		abort();
	EVP_MD_CTX_free(ctx);
	return 0;
}
