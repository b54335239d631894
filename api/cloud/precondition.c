/* SPDX-License-Identifier: Apache-2.0
 * precondition.c - ETag and If-Match of CVMs.
 *
 * Weak tags are refused instead of never matching. A client that sends one got it from a cache, and
 * would get 412 forever.
 */
#include "api/cloud/precondition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/cloud/lookup.h"
#include "api/http/call.h"
#include "db/cvms.h"

/* Prefix of the routes about one CVM: they have a parameter at this position. */
static const char cvm_route[] = "/api/v1/cvms/{";

static int etag_malformed(const char *tags, struct err *e)
{
	return err_field(e, ERR_INVALID, "If-Match", tags,
			 "header If-Match must be * or a comma-separated list of quoted tags, "
			 "as sent in ETag");
}

static const char *etag_skip_separators(const char *p)
{
	return p + strspn(p, " \t,");
}

int etag_matches(const char *tags, int64_t generation, struct err *e)
{
	char current[ETAG_TEXT];
	const char *p = etag_skip_separators(tags);
	int found = 0;

	if (!strcmp(tags, "*"))
		return 1;
	if (!*p)
		return etag_malformed(tags, e);
	(void)snprintf(current, sizeof(current), "%" PRId64, generation);
	while (*p) {
		const char *end = *p == '"' ? strchr(p + 1, '"') : NULL;
		size_t n = end ? (size_t)(end - p - 1) : 0;

		if (!end || (end[1] && !strchr(" \t,", end[1])))
			return etag_malformed(tags, e);
		if (n == strlen(current) && !memcmp(p + 1, current, n))
			found = 1;
		p = etag_skip_separators(end + 1);
	}
	return found;
}

void etag_put(struct call *c, int64_t generation)
{
	char tag[ETAG_TEXT + 2];

	(void)snprintf(tag, sizeof(tag), "\"%" PRId64 "\"", generation);
	call_add_header(c, "ETag", tag);
}

static int precondition_failed(struct call *c, const char *tags, const struct cvm_row *row,
			       struct err *e)
{
	etag_put(c, row->policy.generation);
	err_field(e, ERR_PRECONDITION, "If-Match", tags,
		  "If-Match is %.80s, but the current tag of %s is \"%" PRId64 "\"", tags,
		  row->name, row->policy.generation);
	return err_hint(e, "read the CVM again, and repeat the request with its new ETag");
}

int precondition_check(struct call *c, struct err *e)
{
	const char *tags = call_header(c, "If-Match");
	struct cvm_row row;
	int r;

	if (!tags || !c->route || strncmp(c->route, cvm_route, sizeof(cvm_route) - 1) != 0)
		return 0;
	r = api_find_cvm(c, c->param[0], &row, e);
	for (unsigned i = 0; !r && (tags = call_header_nth(c, "If-Match", i)); i++) {
		r = etag_matches(tags, row.policy.generation, e);
		if (r == 0)
			return precondition_failed(c, tags, &row, e);
		r = r < 0 ? r : 0;
	}
	return r;
}
