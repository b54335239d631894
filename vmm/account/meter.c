/* SPDX-License-Identifier: Apache-2.0
 * meter.c - rates, charges and metered time. See meter.h.
 */
#include "vmm/account/meter.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/own.h"
#include "db/ledger.h"
#include "vmm/node/settings.h"
#include "vmm/virt/xml_out.h"

enum { MIB_PER_GIB = 1024 };

/* Holds the product of an int64_t and any interval in milliseconds without overflow. */
__extension__ typedef __int128 wide;

static int64_t money_clamp(wide w)
{
	return w > INT64_MAX ? INT64_MAX : (int64_t)w;
}

int64_t meter_rate(const struct rates *r, const struct cvm_size *c, bool runs)
{
	wide sum = (wide)c->disk_gib * r->disk_gib;

	assert(r->disk_gib >= 0 && r->vcpu >= 0 && r->memory_gib >= 0 && r->gpu >= 0);
	if (!runs)
		return money_clamp(sum);
	sum += (wide)c->vcpus * r->vcpu + (wide)c->gpus * r->gpu;
	sum += ((wide)c->memory_mib * r->memory_gib + MIB_PER_GIB - 1) / MIB_PER_GIB;
	return money_clamp(sum);
}

int64_t meter_charge(int64_t rate, int64_t elapsed_ms, int64_t *rest)
{
	wide sum;

	if (elapsed_ms <= 0)
		return 0;
	sum = (wide)rate * elapsed_ms + *rest;
	*rest = (int64_t)(sum % METER_HOUR_MS);
	return money_clamp(sum / METER_HOUR_MS);
}

static void read_boot_id(char out[UUID_TEXT])
{
	auto_free char *text = NULL;
	struct err e;

	if (file_read("/proc/sys/kernel/random/boot_id", 64, &text, NULL, &e))
		return;
	text[strcspn(text, "\n")] = 0;
	(void)snprintf(out, UUID_TEXT, "%.36s", text);
}

void clock_read(struct clock_reading *ret)
{
	static char boot_id[UUID_TEXT];
	struct timespec t;

	if (!boot_id[0])
		read_boot_id(boot_id);
	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	*ret = (struct clock_reading){ .wall_ms = clock_wall_ms(),
				       .boot_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 };
	memcpy(ret->boot_id, boot_id, sizeof(boot_id));
}

bool meter_clock_advance(struct meter_clock *c, const struct clock_reading *r)
{
	bool same = c->now_ms > 0 && !strcmp(c->boot_id, r->boot_id);
	bool booted = c->now_ms > 0 && !same;

	if (same && r->boot_ms > c->boot_ms)
		c->now_ms += r->boot_ms - c->boot_ms;
	if (!same && r->wall_ms > c->now_ms)
		c->now_ms = r->wall_ms;
	if (!same || r->boot_ms > c->boot_ms)
		c->boot_ms = r->boot_ms;
	memcpy(c->boot_id, r->boot_id, sizeof(c->boot_id));
	return booted;
}
