/* SPDX-License-Identifier: Apache-2.0
 * kernel_file.c - small files of the kernel, and the forms in which it writes numbers and lists.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/host/kernel_file.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/virt/xml_out.h"

enum { TEXT_MAX = 4 << 20, RANGE_MAX = 65535 };

char *kernel_text(const char *root, const char *path)
{
	auto_free char *full = xasprintf("%s%s", root, path);
	struct err ignored;
	char *text;
	size_t n;

	if (file_read(full, TEXT_MAX, &text, &n, &ignored))
		return NULL;
	while (n && isspace((unsigned char)text[n - 1]))
		text[--n] = '\0';
	return text;
}

bool kernel_number(const char *root, const char *path, uint64_t *ret)
{
	auto_free char *text = kernel_text(root, path);
	unsigned long long n;
	char *end;

	if (!text || !isdigit((unsigned char)*text))
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (*end || errno)
		return false;
	*ret = n;
	return true;
}

bool kernel_exists(const char *root, const char *path)
{
	auto_free char *full = xasprintf("%s%s", root, path);
	struct stat st;

	return stat(full, &st) == 0;
}

const char *kernel_line(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (; text; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL) {
		const char *colon = text + n;

		if (strncmp(text, name, n) != 0)
			continue;
		colon += strspn(colon, " \t");
		if (*colon == ':')
			return colon + 1 + strspn(colon + 1, " \t");
	}
	return NULL;
}

/* Parse the digits at *at and advance it. */
static bool kernel_range_number(const char **at, unsigned *ret)
{
	unsigned n = 0;

	if (!isdigit((unsigned char)**at))
		return false;
	for (; isdigit((unsigned char)**at); (*at)++) {
		n = n * 10 + (unsigned)(**at - '0');
		if (n > RANGE_MAX)
			return false;
	}
	*ret = n;
	return true;
}

bool kernel_ranges(const char *list, void (*fn)(void *arg, unsigned from, unsigned to), void *arg)
{
	unsigned from, to;

	if (!*list)
		return true;
	for (;;) {
		if (!kernel_range_number(&list, &from))
			return false;
		to = from;
		if (*list == '-') {
			list++;
			if (!kernel_range_number(&list, &to) || to < from)
				return false;
		}
		if (fn)
			fn(arg, from, to);
		if (!*list)
			return true;
		if (*list++ != ',')
			return false;
	}
}
