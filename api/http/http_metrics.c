/* SPDX-License-Identifier: Apache-2.0
 * metrics.c - what the server counts, as Prometheus text.
 *
 * Counters are arrays indexed by route: counting a request is three additions. A streamed answer
 * counts when it begins, with the time until then.
 */
#include <inttypes.h>

#include "api/http/server_impl.h"
#include "base/lag.h"

static const struct {
	int64_t us;
	const char *text;
} bound[STAT_BUCKETS] = {
	{ 500, "0.0005" },  { 2500, "0.0025" }, { 10000, "0.01" },  { 50000, "0.05" },
	{ 250000, "0.25" }, { 1000000, "1" },   { 10000000, "10" },
};

void server_count(struct server *s, unsigned index, int status, int64_t us)
{
	struct route_stat *st = &s->stats[index];
	unsigned i = 0;

	while (i < STAT_BUCKETS && us > bound[i].us)
		i++;
	st->bucket[i]++;
	st->by_class[status / 100 % STAT_CLASSES]++;
	st->sum_us += us > 0 ? (uint64_t)us : 0;
}

static void labels(const struct server *s, unsigned i, struct buf *out)
{
	const struct route *r = i < router_count(s->router) ? router_route(s->router, i) : NULL;

	buf_printf(out, "route=\"%s\",method=\"%s\"", r ? r->pattern : "", r ? r->method : "");
}

static void requests(const struct server *s, struct buf *out)
{
	buf_puts(out,
		 "# HELP teepod_http_requests_total Answers by route, method and status class.\n"
		 "# TYPE teepod_http_requests_total counter\n");
	for (unsigned i = 0; i <= router_count(s->router); i++) {
		for (unsigned k = 1; k < STAT_CLASSES; k++) {
			if (!s->stats[i].by_class[k])
				continue;
			buf_puts(out, "teepod_http_requests_total{");
			labels(s, i, out);
			buf_printf(out, ",code=\"%uxx\"} %" PRIu64 "\n", k,
				   s->stats[i].by_class[k]);
		}
	}
}

static void duration(const struct server *s, unsigned i, struct buf *out)
{
	const struct route_stat *st = &s->stats[i];
	uint64_t n = 0;

	for (unsigned k = 0; k <= STAT_BUCKETS; k++) {
		n += st->bucket[k];
		buf_puts(out, "teepod_http_request_seconds_bucket{");
		labels(s, i, out);
		buf_printf(out, ",le=\"%s\"} %" PRIu64 "\n",
			   k < STAT_BUCKETS ? bound[k].text : "+Inf", n);
	}
	buf_puts(out, "teepod_http_request_seconds_sum{");
	labels(s, i, out);
	buf_printf(out, "} %.6f\nteepod_http_request_seconds_count{", (double)st->sum_us / 1e6);
	labels(s, i, out);
	buf_printf(out, "} %" PRIu64 "\n", n);
}

static void durations(const struct server *s, struct buf *out)
{
	buf_puts(out, "# HELP teepod_http_request_seconds Time from a complete request head to its "
		      "answer.\n"
		      "# TYPE teepod_http_request_seconds histogram\n");
	for (unsigned i = 0; i <= router_count(s->router); i++) {
		bool any = false;

		for (unsigned k = 0; k <= STAT_BUCKETS; k++)
			any |= s->stats[i].bucket[k] > 0;
		if (any)
			duration(s, i, out);
	}
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %" PRIu64 "\n", name, help, name, name,
		   value);
}

static void turns(struct buf *out)
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
	counter(out, "teepod_loop_held_total", "Turns of the event loop longer than 100 ms.",
		st.longer);
}

void server_metrics(const struct server *s, struct buf *out)
{
	requests(s, out);
	durations(s, out);
	buf_printf(out,
		   "# HELP teepod_http_connections Open client connections.\n"
		   "# TYPE teepod_http_connections gauge\nteepod_http_connections %u\n",
		   s->n_conns);
	counter(out, "teepod_http_connections_accepted_total", "Client connections accepted.",
		s->accepted);
	counter(out, "teepod_http_connections_refused_total",
		"Client connections over a limit, closed at once.", s->refused);
	counter(out, "teepod_http_connections_evicted_total",
		"Client connections closed to make room for others.", s->evicted);
	counter(out, "teepod_http_auth_failed_total",
		"Requests with a wrong or missing credential.", s->auth_failed);
	counter(out, "teepod_http_timeouts_total",
		"Requests and answers that a client let time out.", s->timeouts);
	turns(out);
}
