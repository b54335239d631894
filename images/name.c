/* SPDX-License-Identifier: Apache-2.0
 * name.c - names and versions of images.
 *
 * A name is part of paths and is shown to clients, so its alphabet is small. The version is the
 * part after the last '-': three or four numbers. "0.5.4-rc1" is not a version.
 */
#include <assert.h>
#include <string.h>

#include "images/images.h"
#include "images/parts.h"

static bool is_ascii_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static const char *name_fault(const char *name)
{
	if (!*name)
		return "is empty";
	if (strlen(name) >= IMAGE_NAME)
		return "is longer than 64 bytes";
	if (*name == '.' || *name == '-')
		return "starts with '.' or '-'";
	if (strstr(name, ".."))
		return "contains \"..\"";
	for (; *name; name++)
		if (!is_ascii_alnum(*name) && !strchr("_-.", *name))
			return "has a character other than ASCII letters, digits, '_', '-' and '.'";
	return NULL;
}

int image_name_check(const char *field, const char *name, struct err *e)
{
	const char *fault = name_fault(name);

	if (!fault)
		return 0;
	err_field(e, ERR_INVALID, field, name, "image name %s", fault);
	return err_hint(
		e, "a name is at most 64 ASCII letters, digits, '_', '-', '.', like dstack-0.5.4");
}

static const char *parse_version_number(const char *s, unsigned *ret)
{
	unsigned n = 0, digits = 0;

	for (; *s >= '0' && *s <= '9'; s++, digits++)
		if (digits == 5 || (n = n * 10 + (unsigned)(*s - '0')) > 65535)
			return NULL;
	*ret = n;
	return digits ? s : NULL;
}

bool image_version_parse(const char *s, unsigned v[4], unsigned *nv)
{
	unsigned got[4] = { 0 }, n = 0;

	if (strlen(s) >= IMAGE_VERSION)
		return false;
	for (;;) {
		if (n == 4 || !(s = parse_version_number(s, &got[n])))
			return false;
		n++;
		if (!*s)
			break;
		if (*s++ != '.')
			return false;
	}
	if (n < 3)
		return false;
	assert(n <= 4);
	memcpy(v, got, sizeof(got));
	*nv = n;
	return true;
}

bool image_name_split(const char *name, char family[IMAGE_NAME], char version[IMAGE_VERSION],
		      unsigned v[4], unsigned *nv)
{
	const char *dash = strrchr(name, '-');

	if (!dash || dash == name || strlen(name) >= IMAGE_NAME ||
	    !image_version_parse(dash + 1, v, nv))
		return false;
	memcpy(family, name, (size_t)(dash - name));
	family[dash - name] = '\0';
	strcpy(version, dash + 1);
	return true;
}

int image_version_compare(const struct image *a, const struct image *b)
{
	for (unsigned i = 0; i < 4; i++)
		if (a->v[i] != b->v[i])
			return a->v[i] < b->v[i] ? -1 : 1;
	return 0;
}
