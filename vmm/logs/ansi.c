/* SPDX-License-Identifier: Apache-2.0
 * ansi.c - removes terminal control sequences from the text of a guest.
 *
 * Sequences follow ECMA-48: ESC + final, CSI (ESC [ ... final), and strings (OSC, DCS, SOS, PM,
 * APC) that end with BEL or ESC \. Their 8-bit introducers are U+0080..U+009F, in UTF-8 the byte C2
 * and one more. As single bytes outside a UTF-8 character they become '?', because a terminal that
 * does not expect UTF-8 would obey them. A newline or too many bytes end any sequence: a guest that
 * opens a string and never closes it cannot hide its log.
 */
#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "vmm/logs/ansi.h"

enum { TEXT, ESCAPE, ESCAPE_MORE, CSI, STRING, STRING_ESCAPE };
enum { SWALLOW_MAX = 4096 };

static void ansi_introduce(struct ansi *a, unsigned char c)
{
	a->swallowed = 0;
	switch (c) {
	case '[':
		a->state = CSI;
		break;
	case ']':
	case 'P':
	case 'X':
	case '^':
	case '_':
		a->state = STRING;
		break;
	default:
		a->state = c >= 0x20 && c <= 0x2f ? ESCAPE_MORE : TEXT;
	}
}

static void ansi_in_sequence(struct ansi *a, unsigned char c)
{
	if (++a->swallowed > SWALLOW_MAX) {
		a->state = TEXT;
		return;
	}
	if (c == 0x1b) {
		a->state = a->state == STRING || a->state == STRING_ESCAPE ? STRING_ESCAPE : ESCAPE;
		return;
	}
	switch (a->state) {
	case ESCAPE:
		ansi_introduce(a, c);
		break;
	case ESCAPE_MORE:
		if (c < 0x20 || c > 0x2f)
			a->state = TEXT;
		break;
	case CSI:
		if (c < 0x20 || c > 0x3f)
			a->state = TEXT;
		break;
	case STRING:
		if (c == '\a')
			a->state = TEXT;
		break;
	case STRING_ESCAPE:
		if (c == '\\')
			a->state = TEXT;
		else
			ansi_introduce(a, c);
		break;
	}
}

/* @c begins a character of two to four bytes. The bounds of the second byte exclude overlong and
 * invalid encodings. */
static void ansi_begin_character(struct ansi *a, unsigned char c)
{
	a->rest = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	a->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	a->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
}

static size_t ansi_in_text(struct ansi *a, unsigned char c, char *out)
{
	size_t kept = 0;

	if (a->rest) {
		if (c >= a->low && c <= a->high) {
			a->rest--;
			a->low = 0x80;
			a->high = 0xbf;
			*out = (char)c;
			return 1;
		}
		a->rest = 0;
	}
	if (a->held) {
		a->held = 0;
		if (c >= 0x80 && c <= 0x9f) {
			ansi_introduce(a, (unsigned char)(c - 0x40));
			if (a->state == ESCAPE_MORE)
				a->state = TEXT;
			return 0;
		}
		out[kept++] = (char)0xc2;
	}
	if (c == 0x1b)
		a->state = ESCAPE;
	else if (c == 0xc2)
		a->held = 1;
	else if (c >= 0x80 && c <= 0x9f)
		out[kept++] = '?';
	else if ((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t')
		out[kept++] = (char)c;
	if (c > 0xc2 && c <= 0xf4)
		ansi_begin_character(a, c);
	return kept;
}

/* Number of bytes at @in that are plain text. Most of a log is, so these are copied at once. */
static size_t ansi_plain_bytes(const char *in, size_t n)
{
	size_t i = 0;

	while (i < n && ((in[i] >= 0x20 && in[i] < 0x7f) || in[i] == '\n' || in[i] == '\t'))
		i++;
	return i;
}

size_t ansi_strip(struct ansi *a, const char *in, size_t n, char *out)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		size_t run = a->state == TEXT && !a->held && !a->rest
				     ? ansi_plain_bytes(in + i, n - i)
				     : 0;
		unsigned char c;

		memcpy(out + kept, in + i, run);
		kept += run;
		i += run;
		assert(kept <= i + 1); /* a byte held since the last call */
		if (i == n)
			break;
		c = (unsigned char)in[i];

		if (c == '\n' && a->state != TEXT)
			a->state = TEXT;
		if (a->state == TEXT)
			kept += ansi_in_text(a, c, out + kept);
		else
			ansi_in_sequence(a, c);
	}
	return kept;
}
