/* SPDX-License-Identifier: Apache-2.0
 * step_table.c - the registered tables of steps, and steps by name.
 *
 * A table is constant data of the program, so the registry belongs to the process. Higher layers
 * register their tables while the node is opened (vmm/cvm/steps.c, update_steps.c).
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "vmm/op/step_table.h"

static const struct op_table *tables[OP_KINDS];

void op_register(enum op_kind kind, const struct op_table *table)
{
	assert(kind < OP_KINDS && table->n > 0 && table->first < table->n);
	for (int i = 0; i < table->n; i++) {
		const struct step *s = &table->steps[i];

		assert(*s->name && strlen(s->name) < OP_STEP_TEXT);
		assert(!s->work.fn || !s->ready);
		assert(!s->limit_s || s->ready);
		assert(!(s->flags & STEP_ASSUME_DONE) || s->save);
		assert(!s->work.fn || s->work.deadline_s);
		assert(!s->undo.fn || s->undo.deadline_s);
	}
	tables[kind] = table;
}

const struct op_table *op_table(enum op_kind kind)
{
	assert(kind < OP_KINDS && tables[kind]);
	return tables[kind];
}

int op_step_find(const struct op_table *t, const char *name, int version)
{
	for (const struct step_rename *r = t->renames; r && r->from; r++)
		if (version < r->version && !strcmp(name, r->from))
			name = r->to;
	if (!*name)
		return -1;
	for (int i = 0; i < t->n; i++)
		if (!strcmp(t->steps[i].name, name))
			return i;
	return -2;
}

void op_set_step(struct op_row *row, int at)
{
	const struct op_table *t = op_table(row->kind);

	assert(at >= -1 && at < t->n);
	(void)snprintf(row->step, sizeof(row->step), "%s", at < 0 ? "" : t->steps[at].name);
	row->table_version = t->version;
}
