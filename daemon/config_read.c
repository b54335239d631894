/* SPDX-License-Identifier: Apache-2.0
 * config_read.c - read configuration files with libinih, and parse -o.
 *
 * Every error is reported with file and line, and an error in one line does not hide those in
 * others. libinih alone does not ensure this: it passes no line numbers to its handler, skips
 * invalid lines without a message after the first, and ignores text after a section's bracket. So
 * libinih gets its lines from config_read_line(), which counts and checks them, and passes an
 * invalid line on as an empty one.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/own.h"
#include "base/strings.h"
#include "daemon/config_keys.h"
#include "daemon/config_member.h"
#include "daemon/config_read.h"

enum { LINE_MAX_BYTES = 8190 };

struct config_reader {
	struct config *c;
	const char *file;
	FILE *f;
	unsigned line;
	bool skip;      /* inside an unknown section, which was reported */
	unsigned *seen; /* by row: line that set the key in this file, 0 = none */
	char *text;     /* buffer of getline(), of @cap bytes */
	size_t cap;
	struct buf *errors;
};

static void config_read_error(struct config_reader *r, const char *what, const char *about)
{
	buf_printf(r->errors, "%s:%u: %s", r->file, r->line, what);
	if (about)
		buf_printf(r->errors, ": %.100s", about);
	buf_puts(r->errors, "\n");
}

/* ------------------------------------------------------------------ suggestions */

static unsigned suggest_min(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein distance; MAX for names that are longer than any name of ours. */
static unsigned suggest_distance(const char *a, const char *b)
{
	enum { MAX = 48 };
	size_t n = strlen(a), m = strlen(b);
	unsigned row[MAX + 1], diagonal, above;

	if (n > MAX || m > MAX)
		return MAX;
	for (unsigned j = 0; j <= m; j++)
		row[j] = j;
	for (unsigned i = 1; i <= n; i++) {
		diagonal = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= m; j++) {
			above = row[j];
			row[j] = suggest_min(above + 1, row[j - 1] + 1,
					     diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[m];
}

static bool suggest_close_enough(const char *given, unsigned d)
{
	return d <= 1 + strlen(given) / 4;
}

static void suggest_section(const char *section, struct buf *out)
{
	const char *best = NULL;
	unsigned least = ~0u;

	for (size_t i = 0; i < config_sections_n; i++) {
		unsigned d = suggest_distance(section, config_sections[i].name);

		if (d < least) {
			least = d;
			best = config_sections[i].name;
		}
	}
	if (best && suggest_close_enough(section, least))
		buf_printf(out, "; did you mean [%s]?", best);
}

/* Keys of earlier releases, and their replacements. */
static const struct {
	const char *section, *name, *instead;
} removed[] = {
	{ "hypervisor", "parallel_jobs", "[jobs] kill, guest, bulk and short" },
};

static const char *removed_key_replacement(const char *section, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(removed); i++)
		if (!strcmp(removed[i].section, section) && !strcmp(removed[i].name, name))
			return removed[i].instead;
	return NULL;
}

/* Suggest the most similar name in the section, or the same name in another section. */
static void suggest_key(const char *section, const char *name, struct buf *out)
{
	const struct config_key *best = NULL, *elsewhere = NULL;
	unsigned least = ~0u;

	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *k = &config_keys[i];
		unsigned d = suggest_distance(name, k->name);

		if (!strcmp(k->section, section) && d < least) {
			least = d;
			best = k;
		} else if (!d && !elsewhere) {
			elsewhere = k;
		}
	}
	if (best && suggest_close_enough(name, least))
		buf_printf(out, "; did you mean \"%s\"?", best->name);
	else if (elsewhere)
		buf_printf(out, "; did you mean [%s] %s?", elsewhere->section, elsewhere->name);
}

static bool config_section_exists(const char *name)
{
	for (size_t i = 0; i < config_sections_n; i++)
		if (!strcmp(config_sections[i].name, name))
			return true;
	return false;
}

static const struct config_key *find_key_or_report(const char *section, const char *name,
						   const char *origin, struct buf *errors)
{
	const struct config_key *k = config_key_find(section, name);
	const char *instead = removed_key_replacement(section, name);

	if (k)
		return k;
	if (instead) {
		buf_printf(errors, "%s: [%s] %s was removed; use %s\n", origin, section, name,
			   instead);
		return NULL;
	}
	buf_printf(errors, "%s: unknown key [%.60s] %.60s", origin, section, name);
	suggest_key(section, name, errors);
	buf_puts(errors, "\n");
	return NULL;
}

/* ------------------------------------------------------------------ lines */

static void config_read_section(struct config_reader *r, char *line)
{
	char *end = strchr(line, ']');

	if (!end || end[1 + strspn(end + 1, " \t\r\n")]) {
		line[strcspn(line, "\r\n")] = '\0';
		config_read_error(r, "expected [SECTION] and nothing after it", line);
		r->skip = true;
		*line = '\0';
		return;
	}
	*end = '\0';
	r->skip = !config_section_exists(line + 1);
	if (r->skip) {
		buf_printf(r->errors, "%s:%u: unknown section [%.60s]", r->file, r->line, line + 1);
		suggest_section(line + 1, r->errors);
		buf_puts(r->errors, "\n");
	}
	*end = ']';
}

/* Report a line that libinih would skip without a message, and make it empty. */
static void config_read_check_line(struct config_reader *r, char *line, size_t n)
{
	size_t indent = strspn(line, " \t\r\n");
	char *at = line + indent;

	if (r->line == 1 && !strncmp(at, "\xef\xbb\xbf", 3))
		at += 3;
	if (strlen(line) != n || n > LINE_MAX_BYTES) {
		config_read_error(r,
				  strlen(line) != n ? "the line contains a NUL byte"
						    : "line longer than 8190 bytes",
				  NULL);
		*line = '\0';
	} else if (*at == '[') {
		config_read_section(r, at);
	} else if (*at && !strchr("#;", *at) && at[strcspn(at, "=:")] != '=') {
		at[strcspn(at, "\r\n")] = '\0';
		config_read_error(r, "expected [SECTION], KEY = VALUE or # comment", at);
		*line = '\0';
	}
}

/* Called by libinih in place of fgets(). */
static char *config_read_line(char *out, int size, void *arg)
{
	struct config_reader *r = arg;
	ssize_t n = getline(&r->text, &r->cap, r->f);

	assert(size > LINE_MAX_BYTES);
	if (n < 0)
		return NULL;
	r->line++;
	config_read_check_line(r, r->text, (size_t)n);
	(void)snprintf(out, (size_t)size, "%s", *r->text ? r->text : "\n");
	return out;
}

static int config_read_value(void *arg, const char *section, const char *name, const char *value)
{
	struct config_reader *r = arg;
	auto_free char *origin = xasprintf("%s:%u", r->file, r->line);
	const struct config_key *k;

	if (r->skip)
		return 1;
	if (!*section) {
		config_read_error(r, "key before the first [SECTION]", name);
		return 1;
	}
	k = find_key_or_report(section, name, origin, r->errors);
	if (!k)
		return 1;
	if (r->seen[config_key_row(k)] && !k->type->item_size)
		buf_printf(r->errors,
			   "%s: [%s] %s: \"%.200s\": the key is already set in line %u; only a "
			   "list may be set more than once in a file\n",
			   origin, section, name, value, r->seen[config_key_row(k)]);
	else
		config_assign(r->c, k, value, r->seen[config_key_row(k)], origin, r->errors);
	r->seen[config_key_row(k)] = r->line;
	return 1;
}

/* ------------------------------------------------------------------ files */

/* libinih's options are global variables. Its defaults differ from our format: lines of 200 bytes,
 * comments after values, and indented lines that continue a value. */
static void config_read_set_up_inih(void)
{
	ini_use_stack = false;
	ini_max_line = LINE_MAX_BYTES + 2;
	ini_initial_alloc = LINE_MAX_BYTES + 2;
	ini_allow_inline_comments = false;
	ini_allow_multiline = false;
}

static void config_read_file(struct config *c, const char *file, bool required, struct buf *errors)
{
	auto_fclose FILE *f = fopen(file, "re");
	struct config_reader r = { .c = c, .file = file, .f = f, .errors = errors };

	if (!f) {
		if (errno != ENOENT || required)
			buf_printf(errors, "%s: %s\n", file, strerror(errno));
		return;
	}
	config_read_set_up_inih();
	r.seen = xcalloc(config_keys_n, sizeof(*r.seen));
	errno = 0;
	if (ini_parse_stream(config_read_line, &r, config_read_value, &r))
		config_read_error(&r, "cannot be parsed", NULL);
	if (ferror(f))
		buf_printf(errors, "%s: %s\n", file, strerror(errno));
	free(r.seen);
	free(r.text);
}

static int config_read_is_drop_in(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && *d->d_name != '.' && !strcmp(d->d_name + n - 5, ".conf");
}

/* Byte order: alphasort() would use that of the locale. */
static int config_read_compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

void config_read_files(struct config *c, const char *file, bool required, struct buf *errors)
{
	auto_free char *dir = xasprintf("%s.d", file);
	auto_free struct dirent **names = NULL;
	int n;

	config_read_file(c, file, required, errors);
	n = scandir(dir, &names, config_read_is_drop_in, config_read_compare_names);
	if (n < 0 && errno != ENOENT)
		buf_printf(errors, "%s: %s\n", dir, strerror(errno));
	for (int i = 0; i < n; i++) {
		auto_free char *path = xasprintf("%s/%s", dir, names[i]->d_name);

		config_read_file(c, path, true, errors);
		free(names[i]);
	}
}

void config_read_option(struct config *c, const char *text, struct buf *errors)
{
	const char *equals = strchr(text, '='), *dot = strchr(text, '.');

	if (!equals || !dot || dot > equals) {
		buf_printf(errors, "-o %.100s: expected SECTION.KEY=VALUE\n", text);
		return;
	}

	auto_free char *section = xstrndup(text, (size_t)(dot - text));
	auto_free char *name = xstrndup(dot + 1, (size_t)(equals - dot - 1));
	const struct config_key *k = find_key_or_report(section, name, "-o", errors);

	if (k)
		config_assign(c, k, equals + 1, false, "-o", errors);
}
