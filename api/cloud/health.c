/* SPDX-License-Identifier: Apache-2.0
 * health.c - /healthz, /readyz and /metrics.
 */
#include "api/cloud/context.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/node_metrics.h"
#include "api/cloud/serialize_cvm.h"
#include "api/cloud/stream.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "api/http/server.h"
#include <jansson.h>
#include "base/buf.h"
#include "vmm/vmm.h"

static void get_healthz(struct call *c)
{
	call_reply(c, 200, json_pack("{s:s}", "status", "ok"));
}

static void get_readyz(struct call *c)
{
	json_t *reasons = json_array();
	struct node_info node;

	vmm_node(api_of(c)->vmm, &node);
	/* A node in maintenance is ready, also when its state folder belongs to another host.
	 * Everybody may call this, so the error of the hypervisor, which contains host paths, is
	 * only in the log and, for operators, in GET /node. */
	if (!node.hypervisor_up && !node.foreign)
		json_array_append_new(reasons, json_string("the hypervisor is not connected"));
	if (api_of(c)->draining)
		json_array_append_new(reasons, json_string("the daemon is shutting down"));
	if (!json_array_size(reasons)) {
		json_decref(reasons);
		call_reply(c, 200, json_pack("{s:s}", "status", "ready"));
		return;
	}
	call_reply(c, 503, json_pack("{s:s,s:o}", "status", "not ready", "reasons", reasons));
}

static void get_metrics(struct call *c)
{
	auto_buf struct buf b = { 0 };

	node_metrics(api_of(c)->vmm, &b);
	buf_printf(&b,
		   "# HELP teepod_streams Streams of events, states and logs that are open.\n"
		   "# TYPE teepod_streams gauge\nteepod_streams %u\n",
		   streams_count(api_of(c)->streams, NULL));
	if (api_of(c)->server)
		server_metrics(api_of(c)->server, &b);
	call_reply_text(c, 200, "text/plain; version=0.0.4; charset=utf-8", b.data ? b.data : "",
			b.len);
}

const struct route health_routes[] = {
	{ "GET", "/healthz", ROLE_NONE, ROUTE_NO_AUTH | ROUTE_URGENT, 0, get_healthz, NULL },
	{ "GET", "/readyz", ROLE_NONE, ROUTE_NO_AUTH | ROUTE_URGENT, 0, get_readyz, NULL },
	{ "GET", "/metrics", ROLE_OPERATOR, 0, 0, get_metrics, NULL },
	{ "GET", "/api/v1/healthz", ROLE_NONE, ROUTE_NO_AUTH | ROUTE_URGENT, 0, get_healthz, NULL },
	{ "GET", "/api/v1/readyz", ROLE_NONE, ROUTE_NO_AUTH | ROUTE_URGENT, 0, get_readyz, NULL },
	{ "GET", "/api/v1/metrics", ROLE_OPERATOR, 0, 0, get_metrics, NULL },
	{ 0 },
};
