/* SPDX-License-Identifier: Apache-2.0
 * serial_fuzz.c - a guest's console, in slices of the fuzzer's choice: reported text is always
 * short and printable, and slices never change what is reported in the end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/logs/serial_scan.h"

static void check(void *arg, enum serial_kind kind, const char *text)
{
	(void)arg;
	if (kind >= SERIAL_KINDS || strlen(text) >= SERIAL_TEXT)
		abort();
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct serial_scan whole = { 0 }, sliced = { 0 };
	size_t step = size ? 1 + data[0] % 7 : 1;

	serial_scan_feed(&whole, (const char *)data, size, check, NULL);
	for (size_t i = 0; i < size; i += step)
		serial_scan_feed(&sliced, (const char *)data + i, size - i < step ? size - i : step,
				 check, NULL);
	for (int k = 0; k < SERIAL_KINDS; k++)
		if (whole.reported[k] != sliced.reported[k] ||
		    strcmp(whole.text[k], sliced.text[k]) != 0)
			abort();
	return 0;
}
