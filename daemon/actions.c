/* SPDX-License-Identifier: Apache-2.0
 * actions.c - actions that print something: results to standard output, errors to standard error.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "daemon/actions.h"
#include "daemon/config.h"
#include "daemon/config_check.h"
#include "daemon/config_print.h"

int action_failed(const char *fmt, ...)
{
	char text[1024], line[sizeof(text) + 16];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)snprintf(line, sizeof(line), "teepod: %s\n", text);
	(void)utf8_print(stderr, line);
	return EXIT_FAILURE;
}

/* A failed write (closed pipe, full disk) makes the action fail. */
static int action_print(const char *text)
{
	return utf8_print(stdout, text) == EOF || fflush(stdout) == EOF ? EXIT_CONFIG
									: EXIT_SUCCESS;
}

static int action_help_config(void)
{
	auto_buf struct buf text = { 0 };

	config_print_help(&text);
	return action_print(text.data);
}

static int action_show_config(const struct options *o)
{
	auto_buf struct buf errors = { 0 }, text = { 0 };
	struct config *c;

	if (config_load(o, &c, &errors) < 0) {
		(void)utf8_print(stderr, errors.data);
		return EXIT_CONFIG;
	}
	if (o->action == ACTION_CHECK_CONFIG)
		config_check_dates(c, &errors);
	if (errors.len) {
		config_free(c);
		(void)utf8_print(stderr, errors.data);
		return EXIT_CONFIG;
	}
	if (o->action == ACTION_PRINT_CONFIG)
		config_print(c, &text);
	else
		buf_puts(&text, "configuration ok\n");
	config_free(c);
	return action_print(text.data);
}

bool actions_run(const struct options *o, int *ret_status)
{
	switch (o->action) {
	case ACTION_HELP:
		*ret_status = action_print(options_help());
		return true;
	case ACTION_VERSION:
		*ret_status = action_print("teepod " TEEPOD_VERSION "\n");
		return true;
	case ACTION_HELP_CONFIG:
		*ret_status = action_help_config();
		return true;
	case ACTION_CHECK_CONFIG:
	case ACTION_PRINT_CONFIG:
		*ret_status = action_show_config(o);
		return true;
	default:
		return false;
	}
}
