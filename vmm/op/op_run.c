/* SPDX-License-Identifier: Apache-2.0
 * op_run.c - the list of running operations, and helpers that read one operation.
 *
 * An operation is in the list from the commit that starts it until the commit that ends it. The
 * list is a copy of what the database says: after a restart it is built from the database. See
 * engine.c for what a running operation does.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/node/node.h"
#include "vmm/op/op_error.h"
#include "vmm/op/op_run.h"

void op_log(const struct op_run *o, enum log_level level, const char *text, const char *more)
{
	const struct log_about about = { .cvm = o->row.cvm_uuid,
					 .op = o->row.id,
					 .req = o->row.request_id };

	log_write(level, &about, "%s %s: %s%s", op_kind_word[o->row.kind], o->row.cvm_name, text,
		  more);
}

void op_unlink(struct op_run *o)
{
	struct engine *g = vmm_engine(o->v);
	struct op_run **at = &g->ops;

	assert(!o->run && g->n_ops);
	while (*at != o) {
		assert(*at);
		at = &(*at)->next;
	}
	*at = o->next;
	g->n_ops--;
	loop_after_cancel(&o->timer);
	loop_after_cancel(&o->grace);
	free(o->image_files_now);
	free(o);
}

int op_next(const struct op_run *o, int from, int by)
{
	const struct op_table *t = op_table_of(o);
	int i = from + by;

	assert(by == 1 || by == -1);
	while (i >= 0 && i < t->n && t->steps[i].skip && t->steps[i].skip(o))
		i += by;
	return i;
}

int op_load_cvm(struct op_run *o, struct cvm_row *c, struct err *e)
{
	int r = cvms_get(vmm_db(o->v), o->row.cvm, c, e);

	return r == -ERR_NOT_FOUND
		       ? err_set(e, ERR_CVM_NOT_FOUND, "the CVM does not exist any more")
		       : r;
}

void op_unknown_step(struct op_row *row, struct err *ret)
{
	err_set(ret, ERR_HOST,
		"operation %s is at step \"%s\" of \"%s\" version %d, which this teepod does "
		"not have",
		row->id, row->step, op_kind_word[row->kind], row->table_version);
	err_hint(ret, "it was begun by another release; stop or delete the CVM, or run that "
		      "release again");
	op_error_write(ret, row->error);
}

void op_params(struct op_run *o)
{
	auto_json json_t *j = json_loads(o->row.params, 0, NULL);

	o->timeout_s = (unsigned)json_integer_value(json_object_get(j, "timeout_s"));
	o->force = json_is_true(json_object_get(j, "force"));
	o->new_disk = json_is_true(json_object_get(j, "new_disk"));
	o->automatic = json_is_true(json_object_get(j, "auto"));
	o->restart = json_is_true(json_object_get(j, "restart"));
	o->grow = json_is_true(json_object_get(j, "grow"));
	o->forward = json_is_true(json_object_get(j, "lead"));
}

struct op_run *op_launch(struct vmm *v, const struct op_row *row)
{
	struct engine *g = vmm_engine(v);
	struct op_run *o = xcalloc(1, sizeof(*o));

	assert_loop_thread();
	*o = (struct op_run){ .v = v, .row = *row, .next = g->ops, .begun_ms = clock_mono_ms() };
	o->at = op_step_find(op_table(row->kind), row->step, row->table_version);
	op_params(o);
	g->ops = o;
	g->n_ops++;
	return o;
}

void ops_close(struct vmm *v)
{
	for (struct op_run *o = vmm_engine(v)->ops, *next; o; o = next) {
		next = o->next;
		if (!o->run && !o->writing)
			op_unlink(o);
	}
	vmm_close_if_idle(v);
}

void engine_stats(const struct vmm *v, struct engine_stats *ret)
{
	const struct engine *g = vmm_engine(v);

	*ret = g->stats;
	ret->running = g->n_ops;
}
