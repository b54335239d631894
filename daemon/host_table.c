/* SPDX-License-Identifier: Apache-2.0
 * host_table.c - format one row per check: name, state, result; below it the advice.
 *
 * The advice has its own lines, almost as wide as the terminal, because it contains commands that
 * users copy.
 */
#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "daemon/host_table.h"

enum { NAME = 21, STATE = 9, TEXT = NAME + STATE, ADVICE = 4 };

static const char arrow[] = "-> ";

/* Bytes of @text that fit in @room columns, up to a space; all @room if a word is longer than that.
 */
static size_t table_line_length(const char *text, size_t room)
{
	size_t n = room;

	if (strlen(text) <= room)
		return strlen(text);
	while (n && text[n] != ' ')
		n--;
	return n ? n : room;
}

/* Append @text in lines of at most @width columns. The first line starts at column @indent already;
 * the others are indented. */
static void table_wrap(const char *text, size_t indent, size_t width, struct buf *out)
{
	assert(indent < width);
	for (bool first = true; *text || first; first = false) {
		size_t n = table_line_length(text, width - indent);

		if (!first)
			buf_printf(out, "%*s", (int)indent, "");
		buf_add(out, text, n);
		buf_puts(out, "\n");
		text += n + strspn(text + n, " ");
	}
}

static void table_check(const struct host_check *r, size_t width, struct buf *out)
{
	buf_printf(out, "%-*s%-*s", NAME, r->name, STATE, check_state_word[r->state]);
	table_wrap(r->value, TEXT, width, out);
	if (!*r->advice)
		return;
	buf_printf(out, "%*s%s", ADVICE, "", arrow);
	table_wrap(r->advice, ADVICE + sizeof(arrow) - 1, width, out);
}

static void table_group(const struct host_check rows[HOST_CHECKS], bool required, const char *title,
			size_t width, struct buf *out)
{
	buf_printf(out, "%s\n\n", title);
	for (size_t i = 0; i < HOST_CHECKS; i++)
		if (rows[i].required == required)
			table_check(&rows[i], width, out);
	buf_puts(out, "\n");
}

/* " (cpu, sgx)" */
static void table_name_missing(const struct host_check rows[HOST_CHECKS], struct buf *out)
{
	const char *before = " (";

	for (size_t i = 0; i < HOST_CHECKS; i++)
		if (rows[i].required && rows[i].state == CHECK_MISSING) {
			buf_printf(out, "%s%s", before, rows[i].name);
			before = ", ";
		}
	buf_puts(out, ")");
}

static void table_summary(const struct host_check rows[HOST_CHECKS], size_t width, struct buf *out)
{
	struct host_verdict v = host_verdict(rows);
	auto_buf struct buf text = { 0 };

	buf_printf(&text, "This host %s run TDX guests", v.missing ? "cannot" : "can");
	if (v.missing) {
		buf_printf(&text, ": %u of %u required parts %s missing", v.missing, v.required,
			   v.missing == 1 ? "is" : "are");
		table_name_missing(rows, &text);
	}
	if (v.unknown)
		buf_printf(&text, "%s %u could not be checked",
			   v.missing ? "," : ", as far as is known:", v.unknown);
	buf_puts(&text, ".");
	table_wrap(text.data, 0, width, out);
}

void host_table(const struct host_check rows[HOST_CHECKS], unsigned width, struct buf *out)
{
	size_t w = width < HOST_TABLE_MIN   ? HOST_TABLE_MIN
		   : width > HOST_TABLE_MAX ? HOST_TABLE_MAX
					    : width;

	table_group(rows, true, "Required of every TDX host:", w, out);
	table_group(rows, false, "Required by some CVMs, or for information:", w, out);
	table_summary(rows, w, out);
}
