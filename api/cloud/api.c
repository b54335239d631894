/* SPDX-License-Identifier: Apache-2.0
 * api.c - the REST API as the daemon sees it: start, settings, drain, end.
 */
#include "api/cloud/api.h"

#include <assert.h>
#include <stdlib.h>

#include "api/cloud/context.h"
#include "api/cloud/routes.h"
#include <jansson.h>
#include "api/cloud/stream.h"
#include "api/http/key_rate.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/loop.h"
#include "db/apps.h"
#include "db/cvms.h"
#include "db/keys.h"
#include "db/text.h"
#include "db/workspaces.h"
#include "vmm/account/keys.h"
#include "vmm/account/workspaces.h"
#include "vmm/node/find.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/node/node.h"
#include "vmm/op/op_begin.h"
#include "vmm/vmm.h"

static_assert(sizeof(((struct caller *)0)->label) == WHO_TEXT, "records have room for a caller");

struct api *api_new(struct vmm *v, const struct api_settings *s)
{
	struct api *a = xcalloc(1, sizeof(*a));

	a->vmm = v;
	a->settings = *s;
	a->started_ms = clock_wall_ms();
	id_random(a->secret, sizeof(a->secret));
	a->streams = streams_new(v);
	a->key_rate = key_rate_new();
	vmm_reserve_names(v, routes_reserve_name);
	return a;
}

void api_set_server(struct api *a, const struct server *s)
{
	a->server = s;
}

void api_reload(struct api *a, const struct api_settings *s)
{
	a->settings = *s;
}

void api_drain(struct api *a)
{
	assert_loop_thread();
	a->draining = true;
	streams_drain(a->streams);
}

void api_free(struct api *a)
{
	if (!a)
		return;
	streams_free(a->streams);
	key_rate_free(a->key_rate);
	free(a);
}

void api_after_commit(void *arg, void (*fn)(void *fn_arg), void *fn_arg)
{
	const struct api *a = arg;

	vmm_read(a->vmm, fn, fn_arg);
}
