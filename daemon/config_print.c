/* SPDX-License-Identifier: Apache-2.0
 * config_print.c - the text of --print-config and of --help-config.
 *
 * --help-config must print configs/teepod.conf byte for byte; a test compares them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/own.h"
#include "daemon/config_keys.h"
#include "daemon/config_member.h"
#include "daemon/config_print.h"
#include "daemon/config_value.h"

enum { VALUE_COLUMN_MAX = 44, TEXT_WIDTH = 76 };

static int print_name_width(const struct config_key *k)
{
	return (int)(strlen(k->section) + 1 + strlen(k->name));
}

void config_print(const struct config *c, struct buf *out)
{
	int names = 0, values = 0;

	for (size_t i = 0; i < config_keys_n; i++) {
		auto_free char *value = config_value_text(&config_keys[i], c);
		int n = (int)strlen(value);

		names = print_name_width(&config_keys[i]) > names
				? print_name_width(&config_keys[i])
				: names;
		values = n > values && n <= VALUE_COLUMN_MAX ? n : values;
	}
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *k = &config_keys[i];
		auto_free char *value = config_value_text(k, c);

		buf_printf(out, "%s.%s%*s = %-*s  # %s\n", k->section, k->name,
			   names - print_name_width(k), "", values, value, c->origin[i]);
	}
}

/* Append @text as comment lines of at most TEXT_WIDTH characters. */
static void print_comment(const char *text, struct buf *out)
{
	size_t column = 0;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (column && column + 1 + word > TEXT_WIDTH) {
			buf_puts(out, "\n");
			column = 0;
		}
		buf_puts(out, column ? " " : "# ");
		buf_add(out, text, word);
		column += (column ? 1 : 2) + word;
		text += word + strspn(text + word, " ");
	}
	buf_puts(out, "\n");
}

static void print_key_help(const struct config_key *k, struct buf *out)
{
	auto_buf struct buf facts = { 0 };

	buf_puts(out, "\n");
	print_comment(k->doc, out);
	buf_puts(&facts, "Allowed: ");
	value_rule(k, &facts);
	if (k->unit)
		buf_printf(&facts, ". Unit: %s", k->unit);
	buf_puts(&facts, k->flags & KEY_RELOAD ? ". Applied by reload." : ". Requires a restart.");
	print_comment(facts.data, out);
	buf_printf(out, "#%s =%s%s\n", k->name, *k->preset ? " " : "", k->preset);
}

void config_print_help(struct buf *out)
{
	buf_puts(out,
		 "# SPDX-License-Identifier: Apache-2.0\n"
		 "# teepod.conf - configuration of teepod, see teepod.conf(5).\n"
		 "#\n"
		 "# Every key is shown with its default. Copy the keys you change to this file, "
		 "or to a\n"
		 "# file in teepod.conf.d/ (*.conf, read in the order of their names; a later "
		 "file overrides\n"
		 "# an earlier one). Separate the items of a list by commas, or give the key "
		 "several times.\n"
		 "# `teepod --check-config` reports all errors. `teepod --print-config` shows the "
		 "values in\n"
		 "# effect and where each was set. `systemctl reload teepod` applies the keys "
		 "that say so.\n");
	for (size_t i = 0; i < config_sections_n; i++) {
		const struct config_section *s = &config_sections[i];

		buf_printf(out, "\n[%s]\n", s->name);
		print_comment(s->doc, out);
		for (size_t j = 0; j < config_keys_n; j++)
			if (!strcmp(config_keys[j].section, s->name))
				print_key_help(&config_keys[j], out);
	}
}
