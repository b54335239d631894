/* SPDX-License-Identifier: Apache-2.0
 * node_metrics.c - metrics of the node, in the Prometheus text format 0.0.4.
 *
 * Names and labels are part of the API: dashboards and alerts use them. Each group is left out if
 * its query fails. Metrics of the HTTP server: api/http/http_metrics.c.
 */
#include "api/cloud/node_metrics.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/lanes.h"
#include "base/own.h"
#include "db/capacity.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/node.h"
#include "db/numa.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/turn.h"
#include "vmm/admit/devices.h"
#include "vmm/host/device_state.h"
#include "vmm/admit/reservation.h"
#include "vmm/cvm/maintenance.h"
#include "vmm/node/node.h"
#include "vmm/op/engine.h"
#include "vmm/op/op_run.h"
#include "vmm/vmm.h"

static void metric_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void metrics_capacity(struct vmm *v, struct buf *out)
{
	struct capacity_row rows[CAPACITY_ROWS];
	struct err e;

	if (vmm_capacity(v, rows, &e))
		return;
	metric_head(out, "teepod_capacity", "gauge",
		    "Resources of this node: total, and reserved (promised).");
	for (size_t i = 0; i < CAPACITY_ROWS; i++) {
		if (rows[i].total >= 0)
			buf_printf(out, "teepod_capacity{resource=\"%s\",kind=\"total\"} %lld\n",
				   rows[i].resource, (long long)rows[i].total);
		buf_printf(out, "teepod_capacity{resource=\"%s\",kind=\"promised\"} %lld\n",
			   rows[i].resource, (long long)rows[i].promised);
	}
}

static void metrics_hugepages(struct vmm *v, struct buf *out)
{
	auto_free struct numa_row *rows = NULL;
	size_t n;
	struct err e;

	if (vmm_numa_nodes(v, &rows, &n, &e))
		return;
	metric_head(out, "teepod_hugepages_mib", "gauge",
		    "Hugepages of each NUMA node: total, reserved (promised), and used by others.");
	for (size_t i = 0; i < n; i++) {
		const struct {
			const char *kind;
			int64_t mib;
		} kinds[] = { { "total", rows[i].hugepages_mib },
			      { "promised", rows[i].hugepages_promised },
			      { "foreign", rows[i].foreign_mib } };

		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
			buf_printf(out, "teepod_hugepages_mib{numa_node=\"%u\",kind=\"%s\"} %lld\n",
				   rows[i].node, kinds[k].kind, (long long)kinds[k].mib);
	}
}

static void metrics_devices(struct vmm *v, struct buf *out)
{
	auto_free struct device_row *rows = NULL;
	unsigned count[DEVICE_KINDS][DEVICE_STATES] = { 0 };
	char why[DEVICE_WHY];
	size_t n;
	struct err e;

	if (vmm_devices(v, &rows, &n, &e))
		return;
	for (size_t i = 0; i < n; i++)
		count[rows[i].kind][device_state(&rows[i], why)]++;
	metric_head(out, "teepod_devices", "gauge", "GPUs and NVSwitches by state.");
	for (int k = 0; k < DEVICE_KINDS; k++)
		for (int s = 0; s < DEVICE_STATES; s++)
			buf_printf(out, "teepod_devices{kind=\"%s\",state=\"%s\"} %u\n",
				   device_kind_word[k], device_state_word[s], count[k][s]);
}

static void metrics_cvms(struct vmm *v, struct buf *out)
{
	int64_t n[DESIRED_MAX][OBSERVED_MAX];
	struct err e;

	if (vmm_cvm_counts(v, n, &e))
		return;
	metric_head(out, "teepod_cvms", "gauge", "CVMs by desired and observed state.");
	for (int d = 0; d < DESIRED_MAX; d++)
		for (int o = 0; o < OBSERVED_MAX; o++)
			buf_printf(out, "teepod_cvms{desired=\"%s\",observed=\"%s\"} %lld\n",
				   desired_word[d], observed_word[o], (long long)n[d][o]);
}

static void metrics_policies(struct vmm *v, struct buf *out)
{
	struct maintenance_row m = { 0 };
	struct drain_counts n = { 0 };
	struct err e;

	if (vmm_maintenance(v, &m, &n, &e))
		return;
	metric_head(out, "teepod_maintenance", "gauge",
		    "1 during maintenance: the node accepts no new CVMs.");
	buf_printf(out, "teepod_maintenance %d\n", m.on);
	metric_head(out, "teepod_turns", "gauge",
		    "CVMs affected by a drain or by its end, by state.");
	buf_printf(out, "teepod_turns{state=\"waiting\"} %lld\n", (long long)n.waiting);
	buf_printf(out, "teepod_turns{state=\"shutting_down\"} %lld\n", (long long)n.under_way);
	buf_printf(out, "teepod_turns{state=\"still_running\"} %lld\n", (long long)n.running);
	buf_printf(out, "teepod_turns{state=\"down\"} %lld\n", (long long)n.down);
	buf_printf(out, "teepod_turns{state=\"waiting_to_start\"} %lld\n", (long long)n.starting);
}

static void metrics_operations(struct vmm *v, struct buf *out)
{
	struct engine_stats n;

	engine_stats(v, &n);
	metric_head(out, "teepod_operations_total", "counter",
		    "Operations that ended, since the daemon started.");
	for (int k = 0; k < OP_KINDS; k++) {
		buf_printf(out, "teepod_operations_total{kind=\"%s\",result=\"succeeded\"} %llu\n",
			   op_kind_word[k], (unsigned long long)n.succeeded[k]);
		buf_printf(out, "teepod_operations_total{kind=\"%s\",result=\"failed\"} %llu\n",
			   op_kind_word[k], (unsigned long long)n.failed[k]);
	}
	metric_head(out, "teepod_operation_seconds_total", "counter",
		    "Time spent in operations that ended.");
	for (int k = 0; k < OP_KINDS; k++)
		buf_printf(out, "teepod_operation_seconds_total{kind=\"%s\"} %.3f\n",
			   op_kind_word[k], n.seconds[k]);
	metric_head(out, "teepod_operations_running", "gauge", "Operations in progress.");
	buf_printf(out, "teepod_operations_running %u\n", n.running);
}

static void metrics_jobs(struct vmm *v, struct buf *out)
{
	struct lane_stats st[LANES];

	lanes_stats(vmm_settings(v)->loop, st);
	metric_head(out, "teepod_jobs", "gauge",
		    "Blocking calls by lane; late: running past the deadline.");
	for (int n = 0; n < LANES; n++)
		buf_printf(out,
			   "teepod_jobs{lane=\"%s\",state=\"queued\"} %u\n"
			   "teepod_jobs{lane=\"%s\",state=\"running\"} %u\n"
			   "teepod_jobs{lane=\"%s\",state=\"late\"} %u\n",
			   lane_word[n], st[n].queued, lane_word[n], st[n].running, lane_word[n],
			   st[n].late);
	metric_head(out, "teepod_jobs_late_total", "counter",
		    "Blocking calls that passed their deadline.");
	for (int n = 0; n < LANES; n++)
		buf_printf(out, "teepod_jobs_late_total{lane=\"%s\"} %llu\n", lane_word[n],
			   st[n].late_total);
	metric_head(out, "teepod_jobs_dropped_total", "counter",
		    "Blocking calls that were dropped before they started.");
	for (int n = 0; n < LANES; n++)
		buf_printf(out, "teepod_jobs_dropped_total{lane=\"%s\"} %llu\n", lane_word[n],
			   st[n].dropped_total);
}

void node_metrics(struct vmm *v, struct buf *out)
{
	uint64_t commits, us;

	turn_stats(vmm_turn(v), &commits, &us);
	metric_head(out, "teepod_hypervisor_up", "gauge",
		    "1 when libvirt is connected and its domains are known.");
	buf_printf(out, "teepod_hypervisor_up %d\n", vmm_is_linked(v) && vmm_is_settled(v));
	metrics_capacity(v, out);
	metrics_hugepages(v, out);
	metrics_devices(v, out);
	metrics_cvms(v, out);
	metrics_policies(v, out);
	metrics_operations(v, out);
	metrics_jobs(v, out);
	metric_head(out, "teepod_commits_total", "counter", "Database transactions committed.");
	buf_printf(out, "teepod_commits_total %llu\n", (unsigned long long)commits);
	metric_head(out, "teepod_commit_seconds_total", "counter", "Time spent in commits.");
	buf_printf(out, "teepod_commit_seconds_total %.6f\n", (double)us / 1e6);
}
