/* SPDX-License-Identifier: Apache-2.0
 * options.h - the parsed command line.
 */
#ifndef TEEPOD_DAEMON_OPTIONS_H
#define TEEPOD_DAEMON_OPTIONS_H

#include <stddef.h>

#include "api/http/caller.h"
#include "base/buf.h"

#ifndef TEEPOD_VERSION
#define TEEPOD_VERSION "0.1.0"
#endif

/* Exit statuses, documented in teepod(8): configuration error, and command-line error. */
enum { EXIT_CONFIG = 1, EXIT_USAGE = 2 };

enum action {
	ACTION_RUN,
	ACTION_HELP,
	ACTION_VERSION,
	ACTION_HELP_CONFIG,
	ACTION_CHECK_CONFIG,
	ACTION_PRINT_CONFIG,
	ACTION_CHECK_DB,
	ACTION_CHECK_HOST,
	ACTION_ADD_KEY,
	ACTION_ACCEPT_HOST,
	ACTION_PRINT_DOMAIN,
};

struct options {
	enum action action;
	const char *config_file;    /* NULL: the default file, which may be missing */
	char *dev_dir;              /* --dev, absolute path, owned; NULL: not development mode */
	const char *hypervisor;     /* --hypervisor, or NULL */
	const char **listen, **set; /* --listen, -o; owned arrays of strings in argv */
	size_t n_listen, n_set;
	const char *domain_file; /* --print-domain-xml; in argv */
	char key_name[64];       /* --add-key NAME:ROLE */
	enum role key_role;
};

/* On success 0 and *ret, which points into @argv; free it with options_free(). Otherwise
 * -ERR_INVALID, one line in @error, and *ret unchanged. */
int options_parse(int argc, char *const argv[], struct options *ret, struct buf *error);
void options_free(struct options *o);

/* The text of --help. */
const char *options_help(void);

#endif
