/* SPDX-License-Identifier: Apache-2.0
 * http_metrics.c - counters of the HTTP server, and their Prometheus text.
 *
 * Counters are arrays indexed by route: counting an answer takes three additions. A streamed answer
 * is counted when it begins, with the time until then.
 */
#include "api/http/http_metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/lag.h"

static const struct {
	int64_t us;
	const char *text;
} bound[HTTP_BUCKETS] = {
	{ 500, "0.0005" },  { 2500, "0.0025" }, { 10000, "0.01" },  { 50000, "0.05" },
	{ 250000, "0.25" }, { 1000000, "1" },   { 10000000, "10" },
};

void http_metrics_init(struct http_metrics *m, unsigned n_routes)
{
	*m = (struct http_metrics){ .n_routes = n_routes };
	m->route = xcalloc(n_routes + 1, sizeof(m->route[0]));
}

void http_metrics_free(struct http_metrics *m)
{
	free(m->route);
	m->route = NULL;
}

void http_metrics_count(struct http_metrics *m, unsigned index, int status, int64_t us)
{
	struct route_stat *st = &m->route[index];
	unsigned i = 0;

	assert(index <= m->n_routes);
	assert(status >= 100 && status < 600);
	while (i < HTTP_BUCKETS && us > bound[i].us)
		i++;
	st->bucket[i]++;
	st->by_class[status / 100]++;
	st->sum_us += us > 0 ? (uint64_t)us : 0;
}

static void write_labels(const struct router *r, unsigned i, struct buf *out)
{
	const struct route *route = i < router_count(r) ? router_route(r, i) : NULL;

	buf_printf(out, "route=\"%s\",method=\"%s\"", route ? route->pattern : "",
		   route ? route->method : "");
}

static void write_requests(const struct http_metrics *m, const struct router *r, struct buf *out)
{
	buf_puts(out,
		 "# HELP teepod_http_requests_total Answers by route, method and status class.\n"
		 "# TYPE teepod_http_requests_total counter\n");
	for (unsigned i = 0; i <= m->n_routes; i++) {
		for (unsigned k = 1; k < HTTP_CLASSES; k++) {
			if (!m->route[i].by_class[k])
				continue;
			buf_puts(out, "teepod_http_requests_total{");
			write_labels(r, i, out);
			buf_printf(out, ",code=\"%uxx\"} %" PRIu64 "\n", k,
				   m->route[i].by_class[k]);
		}
	}
}

static void write_duration(const struct http_metrics *m, const struct router *r, unsigned i,
			   struct buf *out)
{
	const struct route_stat *st = &m->route[i];
	uint64_t n = 0;

	for (unsigned k = 0; k <= HTTP_BUCKETS; k++) {
		n += st->bucket[k];
		buf_puts(out, "teepod_http_request_seconds_bucket{");
		write_labels(r, i, out);
		buf_printf(out, ",le=\"%s\"} %" PRIu64 "\n",
			   k < HTTP_BUCKETS ? bound[k].text : "+Inf", n);
	}
	buf_puts(out, "teepod_http_request_seconds_sum{");
	write_labels(r, i, out);
	buf_printf(out, "} %.6f\nteepod_http_request_seconds_count{", (double)st->sum_us / 1e6);
	write_labels(r, i, out);
	buf_printf(out, "} %" PRIu64 "\n", n);
}

static void write_durations(const struct http_metrics *m, const struct router *r, struct buf *out)
{
	buf_puts(out, "# HELP teepod_http_request_seconds Time from a complete request head to its "
		      "answer.\n"
		      "# TYPE teepod_http_request_seconds histogram\n");
	for (unsigned i = 0; i <= m->n_routes; i++) {
		bool any = false;

		for (unsigned k = 0; k <= HTTP_BUCKETS; k++)
			any |= m->route[i].bucket[k] > 0;
		if (any)
			write_duration(m, r, i, out);
	}
}

static void write_counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %" PRIu64 "\n", name, help, name, name,
		   value);
}

static void write_loop_turns(struct buf *out)
{
	struct lag_stats st = lag_stats();
	uint64_t n = 0;

	buf_puts(out, "# HELP teepod_loop_turn_seconds Time the event loop took for one turn, "
		      "without sleep.\n"
		      "# TYPE teepod_loop_turn_seconds histogram\n");
	for (unsigned i = 0; i < LAG_BUCKETS; i++) {
		n += st.bucket[i];
		buf_printf(out, "teepod_loop_turn_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
			   lag_bound_ms[i] / 1e3, n);
	}
	n += st.bucket[LAG_BUCKETS];
	buf_printf(out,
		   "teepod_loop_turn_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n"
		   "teepod_loop_turn_seconds_sum %.6f\nteepod_loop_turn_seconds_count %" PRIu64
		   "\n",
		   n, (double)st.sum_us / 1e6, n);
	buf_printf(out,
		   "# HELP teepod_loop_turn_max_seconds Longest turn since the daemon started.\n"
		   "# TYPE teepod_loop_turn_max_seconds gauge\nteepod_loop_turn_max_seconds %.6f\n",
		   (double)st.max_us / 1e6);
	write_counter(out, "teepod_loop_held_total", "Turns of the event loop longer than 100 ms.",
		      st.longer);
}

void http_metrics_write(const struct http_metrics *m, const struct router *r, unsigned connections,
			struct buf *out)
{
	write_requests(m, r, out);
	write_durations(m, r, out);
	buf_printf(out,
		   "# HELP teepod_http_connections Open client connections.\n"
		   "# TYPE teepod_http_connections gauge\nteepod_http_connections %u\n",
		   connections);
	write_counter(out, "teepod_http_connections_accepted_total", "Client connections accepted.",
		      m->accepted);
	write_counter(out, "teepod_http_connections_refused_total",
		      "Client connections over a limit, closed at once.", m->refused);
	write_counter(out, "teepod_http_connections_evicted_total",
		      "Client connections closed to make room for others.", m->evicted);
	write_counter(out, "teepod_http_auth_failed_total",
		      "Requests with a wrong or missing credential.", m->auth_failed);
	write_counter(out, "teepod_http_timeouts_total",
		      "Requests and answers that a client let time out.", m->timeouts);
	write_loop_turns(out);
}
