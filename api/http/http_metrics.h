/* SPDX-License-Identifier: Apache-2.0
 * http_metrics.h - counters of the HTTP server, and their Prometheus text.
 */
#ifndef TEEPOD_API_HTTP_HTTP_METRICS_H
#define TEEPOD_API_HTTP_HTTP_METRICS_H

#include <stdint.h>

#include "api/http/router.h"
#include "base/buf.h"

enum { HTTP_BUCKETS = 7, HTTP_CLASSES = 6 };

/* Answers to requests of one route. */
struct route_stat {
	uint64_t by_class[HTTP_CLASSES];   /* [4]: 4xx */
	uint64_t bucket[HTTP_BUCKETS + 1]; /* the last one: above all bounds */
	uint64_t sum_us;
};

struct http_metrics {
	unsigned n_routes;
	struct route_stat *route; /* owned; n_routes + 1: the last one counts unmatched requests */
	uint64_t accepted, refused, evicted; /* connections */
	uint64_t auth_failed, timeouts;      /* requests */
};

void http_metrics_init(struct http_metrics *m, unsigned n_routes);
void http_metrics_free(struct http_metrics *m);

/* Count an answer. @index: of the route, or n_routes for none. @us: since the head was complete. */
void http_metrics_count(struct http_metrics *m, unsigned index, int status, int64_t us);

/* Append all metrics, and those of the event loop, to @out. @r: router whose routes are counted.
 * @connections: open now. */
void http_metrics_write(const struct http_metrics *m, const struct router *r, unsigned connections,
			struct buf *out);

#endif
