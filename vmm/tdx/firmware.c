/* SPDX-License-Identifier: Apache-2.0
 * firmware.c - unpacks the main volume of a firmware file and searches its texts.
 *
 * The volume is a GUID-defined section (PI specification, volume 3): after the GUID a 16-bit offset
 * from the start of the section to the data, which is an LZMA file in the old format. libarchive
 * unpacks it. The file may be hostile: all offsets are checked, and sizes are limited.
 */
#include "vmm/tdx/firmware.h"

#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/buf.h"

enum {
	GUID_LEN = 16,
	SECTION_HEAD = 4,      /* size and type, before the GUID */
	SECTION_HEAD_LONG = 8, /* of a section of 16 MiB or more */
	STEP = 1 << 16,
	VOLUME_MAX = 64 << 20, /* OVMF's is 12 to 16 MiB */
	VOLUMES_TRIED = 4,     /* OVMF has one volume; a hostile file must not keep a job busy */
};

/* ee4e5898-3914-4259-9d6e-dc7bd79403cf, as it lies in memory: LZMA */
static const uint8_t lzma_guid[GUID_LEN] = { 0x98, 0x58, 0x4e, 0xee, 0x14, 0x39, 0x59, 0x42,
					     0x9d, 0x6e, 0xdc, 0x7b, 0xd7, 0x94, 0x03, 0xcf };

/* A file that is cut off at the end of the volume is accepted: its texts were read. */
static void unpack_lzma(const void *data, size_t n, struct buf *out)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	la_ssize_t k = 1;

	(void)archive_read_support_filter_lzma(a);
	(void)archive_read_support_format_raw(a);
	if (archive_read_open_memory(a, data, n) == ARCHIVE_OK &&
	    archive_read_next_header(a, &entry) == ARCHIVE_OK) {
		while (k > 0 && out->len < VOLUME_MAX) {
			k = archive_read_data(a, buf_reserve(out, STEP), STEP);
			out->len += k > 0 ? (size_t)k : 0;
		}
	}
	(void)archive_read_free(a);
}

static bool contains_text(const struct buf *b, const char *text)
{
	return memmem(b->data, b->len, text, strlen(text) + 1) != NULL;
}

static bool read_firmware_ways(const struct buf *volume, struct firmware_ways *ret)
{
	struct firmware_ways w = { .named_blobs = contains_text(volume, "etc/boot/") };

	if (contains_text(volume, "initrd=initrd "))
		w.initrd_word = INITRD_WORD_FIRST;
	else if (contains_text(volume, " initrd=initrd"))
		w.initrd_word = INITRD_WORD_LAST;
	else
		return false;
	*ret = w;
	return true;
}

static bool volume_ways(const uint8_t *section, size_t n, size_t head, struct firmware_ways *ret)
{
	size_t at = head + GUID_LEN;
	size_t data = n >= at + 2 ? (size_t)section[at] | (size_t)section[at + 1] << 8 : n;
	auto_buf struct buf volume = { 0 };

	if (data < at + 4 || data >= n)
		return false;
	unpack_lzma(section + data, n - data, &volume);
	return volume.len && read_firmware_ways(&volume, ret);
}

bool firmware_ways(const uint8_t *firmware, size_t n, struct firmware_ways *ret)
{
	const uint8_t *end = firmware + n, *p = firmware;

	for (int tried = 0; tried < VOLUMES_TRIED; tried++) {
		static const size_t heads[] = { SECTION_HEAD, SECTION_HEAD_LONG };

		p = memmem(p, (size_t)(end - p), lzma_guid, GUID_LEN);
		if (!p)
			return false;
		for (int i = 0; i < 2; i++) {
			const uint8_t *section = p - heads[i];

			if ((size_t)(p - firmware) >= heads[i] &&
			    volume_ways(section, (size_t)(end - section), heads[i], ret))
				return true;
		}
		p += GUID_LEN;
	}
	return false;
}
