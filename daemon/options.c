/* SPDX-License-Identifier: Apache-2.0
 * options.c - parse the command line with getopt_long().
 *
 * Only the form of options is checked here; config_read.c checks keys and values.
 */
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/own.h"
#include "base/strings.h"
#include "daemon/options.h"

enum {
	OPT_DEV = 256,
	OPT_LISTEN,
	OPT_HYPERVISOR,
	OPT_CHECK_CONFIG,
	OPT_PRINT_CONFIG,
	OPT_HELP_CONFIG,
	OPT_CHECK_DB,
	OPT_CHECK_HOST,
	OPT_ADD_KEY,
	OPT_ACCEPT_HOST,
	OPT_PRINT_DOMAIN
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "option", required_argument, NULL, 'o' },
	{ "dev", required_argument, NULL, OPT_DEV },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "hypervisor", required_argument, NULL, OPT_HYPERVISOR },
	{ "check-config", no_argument, NULL, OPT_CHECK_CONFIG },
	{ "print-config", no_argument, NULL, OPT_PRINT_CONFIG },
	{ "help-config", no_argument, NULL, OPT_HELP_CONFIG },
	{ "check-db", no_argument, NULL, OPT_CHECK_DB },
	{ "check-host", no_argument, NULL, OPT_CHECK_HOST },
	{ "add-key", required_argument, NULL, OPT_ADD_KEY },
	{ "accept-host", no_argument, NULL, OPT_ACCEPT_HOST },
	{ "print-domain-xml", required_argument, NULL, OPT_PRINT_DOMAIN },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

const char *options_help(void)
{
	return "Usage: teepod [--config FILE] [-o SECTION.KEY=VALUE]...\n"
	       "       teepod --dev DIR [--listen ADDR:PORT] [-o SECTION.KEY=VALUE]...\n"
	       "\n"
	       "Run confidential virtual machines and serve a REST API to manage them.\n"
	       "\n"
	       "  -c, --config FILE         read FILE and FILE.d/*.conf [/etc/teepod/teepod.conf]\n"
	       "      --dev DIR             development mode: all files below DIR, ordinary VMs, "
	       "no "
	       "libvirtd;\n"
	       "                            writes DIR/admin.key and DIR/url (the base URL)\n"
	       "      --listen ADDR:PORT    listen on this address (also [ADDR]:PORT, unix:/path; "
	       "repeatable)\n"
	       "      --hypervisor URI      libvirt URI, the same as -o hypervisor.uri=URI\n"
	       "  -o, --option SECTION.KEY=VALUE\n"
	       "                            set any key; overrides files and other options "
	       "(repeatable)\n"
	       "\n"
	       "Actions, instead of running the daemon:\n"
	       "      --check-config        check the configuration, report all errors\n"
	       "      --print-config        print every key, its value, and where it was set\n"
	       "      --help-config         print every key with an explanation, as a "
	       "configuration "
	       "file\n"
	       "      --check-db            check the database and the files that its rows name\n"
	       "      --check-host          check whether this host can run TDX guests\n"
	       "      --print-domain-xml FILE\n"
	       "                            print the libvirt domain XML of the create request in "
	       "FILE\n"
	       "      --accept-host         make this host the owner of a state folder that was "
	       "copied, moved\n"
	       "                            or restored\n"
	       "      --add-key NAME:ROLE   create an API key and print it once; ROLE is reader, "
	       "tenant,\n"
	       "                            operator or admin\n"
	       "  -V, --version             print the version\n"
	       "  -h, --help                print this help\n"
	       "\n"
	       "Exit status: 0 success, 1 configuration error or failure (--check-host: no TDX), 2 "
	       "command-line\n"
	       "error.\n"
	       "See teepod(8) and teepod.conf(5).\n";
}

static bool option_parse_role(const char *word, enum role *ret)
{
	static const struct {
		const char *word;
		enum role role;
	} roles[] = {
		{ "reader", ROLE_READER },
		{ "tenant", ROLE_TENANT },
		{ "operator", ROLE_OPERATOR },
		{ "admin", ROLE_ADMIN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		if (!strcmp(roles[i].word, word)) {
			*ret = roles[i].role;
			return true;
		}
	}
	return false;
}

static bool option_key_name_valid(const char *name, size_t n)
{
	if (!n || n >= sizeof(((struct options *)NULL)->key_name))
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	return true;
}

static int option_set_key(struct options *o, const char *arg, struct buf *error)
{
	const char *colon = strrchr(arg, ':');

	if (!colon || !option_key_name_valid(arg, (size_t)(colon - arg)) ||
	    !option_parse_role(colon + 1, &o->key_role)) {
		buf_printf(error,
			   "--add-key %.100s: expected NAME:ROLE, where ROLE is reader, tenant, "
			   "operator or admin",
			   arg);
		return -ERR_INVALID;
	}
	memcpy(o->key_name, arg, (size_t)(colon - arg));
	o->key_name[colon - arg] = '\0';
	return 0;
}

static int option_set_dev(struct options *o, const char *arg, struct buf *error)
{
	auto_free char *cwd = NULL;

	if (!*arg) {
		buf_puts(error, "--dev requires a folder");
		return -ERR_INVALID;
	}
	free(o->dev_dir);
	o->dev_dir = NULL;
	if (*arg == '/') {
		o->dev_dir = xstrdup(arg);
	} else {
		cwd = getcwd(NULL, 0);
		o->dev_dir = xasprintf("%s/%s", cwd ? cwd : "", arg);
	}
	for (size_t n = strlen(o->dev_dir); n > 1 && o->dev_dir[n - 1] == '/'; n--)
		o->dev_dir[n - 1] = '\0';
	return 0;
}

static int option_set_action(struct options *o, enum action a, struct buf *error)
{
	if (o->action != ACTION_RUN && o->action != a) {
		buf_puts(error, "only one action is allowed: see teepod --help");
		return -ERR_INVALID;
	}
	o->action = a;
	return 0;
}

static void option_append(const char ***v, size_t *n, const char *s)
{
	*v = xrealloc(*v, (*n + 1) * sizeof(**v));
	(*v)[(*n)++] = s;
}

static int option_apply(struct options *o, int opt, const char *arg, struct buf *error)
{
	switch (opt) {
	case 'c':
		o->config_file = arg;
		return 0;
	case 'o':
		option_append(&o->set, &o->n_set, arg);
		return 0;
	case OPT_DEV:
		return option_set_dev(o, arg, error);
	case OPT_LISTEN:
		option_append(&o->listen, &o->n_listen, arg);
		return 0;
	case OPT_HYPERVISOR:
		o->hypervisor = arg;
		return 0;
	case OPT_CHECK_CONFIG:
		return option_set_action(o, ACTION_CHECK_CONFIG, error);
	case OPT_PRINT_CONFIG:
		return option_set_action(o, ACTION_PRINT_CONFIG, error);
	case OPT_HELP_CONFIG:
		return option_set_action(o, ACTION_HELP_CONFIG, error);
	case OPT_CHECK_DB:
		return option_set_action(o, ACTION_CHECK_DB, error);
	case OPT_CHECK_HOST:
		return option_set_action(o, ACTION_CHECK_HOST, error);
	case OPT_ACCEPT_HOST:
		return option_set_action(o, ACTION_ACCEPT_HOST, error);
	case OPT_ADD_KEY:
		return option_set_action(o, ACTION_ADD_KEY, error) < 0
			       ? -ERR_INVALID
			       : option_set_key(o, arg, error);
	case OPT_PRINT_DOMAIN:
		o->domain_file = arg;
		return option_set_action(o, ACTION_PRINT_DOMAIN, error);
	case 'V':
		return option_set_action(o, ACTION_VERSION, error);
	default:
		return option_set_action(o, ACTION_HELP, error);
	}
}

static int option_refuse(int opt, char *const argv[], struct buf *error)
{
	const char *given = argv[optind - 1];

	if (opt == ':')
		buf_printf(error, "%.100s requires a value: see teepod --help", given);
	else if (optopt && strncmp(given, "--", 2) != 0)
		buf_printf(error, "unknown option -%c: see teepod --help", optopt);
	else
		buf_printf(error, "unknown, ambiguous or misused option %.100s: see teepod --help",
			   given);
	return -ERR_INVALID;
}

static int options_parse_argv(int argc, char *const argv[], struct options *o, struct buf *error)
{
	int opt, r;

	opterr = 0;
	optind = 0; /* 0, not 1: makes glibc reset the state of an earlier call */
	while ((opt = getopt_long(argc, argv, ":c:o:Vh", long_options, NULL)) != -1) {
		r = opt == '?' || opt == ':' ? option_refuse(opt, argv, error)
					     : option_apply(o, opt, optarg, error);
		if (r < 0)
			return r;
	}
	if (optind < argc) {
		buf_printf(error, "unexpected argument %.100s: see teepod --help", argv[optind]);
		return -ERR_INVALID;
	}
	return 0;
}

int options_parse(int argc, char *const argv[], struct options *ret, struct buf *error)
{
	struct options o = { 0 };
	int r = options_parse_argv(argc, argv, &o, error);

	if (r < 0) {
		options_free(&o);
		return r;
	}
	*ret = o;
	return 0;
}

void options_free(struct options *o)
{
	free(o->dev_dir);
	free(o->listen);
	free(o->set);
	*o = (struct options){ 0 };
}
