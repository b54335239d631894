/* SPDX-License-Identifier: Apache-2.0
 * context.c - the state that all handlers share, and the caller of a request.
 */
#include "api/cloud/context.h"

#include <assert.h>
#include <stdio.h>

#include "api/http/call.h"
#include "vmm/op/op_begin.h"

struct api *api_of(const struct call *c)
{
	assert(c->server);
	return c->server;
}

int64_t api_scope(const struct call *c)
{
	assert(c->caller.role >= ROLE_READER); /* the caller is authenticated */
	return c->caller.role >= ROLE_OPERATOR ? 0 : c->caller.workspace;
}

void api_caller_text(const struct call *c, char out[CALLER_TEXT])
{
	if (c->caller.key_id)
		(void)snprintf(out, CALLER_TEXT, "key:%lld", (long long)c->caller.key_id);
	else
		(void)snprintf(out, CALLER_TEXT, "%s", c->caller.name);
}

struct request_ref api_request_ref(const struct call *c)
{
	return (struct request_ref){ .request_id = c->request_id, .caller = c->caller.label };
}

const char *api_base_url(const struct call *c)
{
	const char *set = api_of(c)->settings.public_url;

	return set && *set ? set : call_base_url(c);
}
