/* SPDX-License-Identifier: Apache-2.0
 * measurements.c - expected measurements of a CVM: as it is, as a create would make it, and after a
 * change.
 *
 * Worker threads hash the files. A call is answered when its job has ended; the loop is not
 * blocked.
 */
#include "api/cloud/measurements.h"

#include <assert.h>
#include <stdlib.h>

#include "api/cloud/body_cvm.h"
#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/lookup.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/http/call.h"
#include "api/http/envelope.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include "base/id.h"
#include "base/json.h"
#include "base/own.h"
#include "db/cvms.h"
#include "vmm/compose/compose.h"
#include "vmm/cvm/change.h"
#include "vmm/cvm/change_preflight.h"
#include "vmm/guest/measure.h"
#include "vmm/tdx/file_measures.h"
#include "vmm/tdx/mr_config.h"
#include "vmm/tdx/tdvf.h"
#include "vmm/virt/domain_spec.h"
#include "vmm/vmm.h"

/* ------------------------------------------------------------------ JSON */

static json_t *serialize_register(const struct measured *m)
{
	char hex[SHA384_HEX];

	if (!m->known)
		return json_pack("{s:n,s:s}", "value", "reason", m->reason);
	id_hex(m->value, SHA384_LEN, hex);
	return json_pack("{s:s,s:n}", "value", hex, "reason");
}

static const char *mr_config_absence(const struct measurements *m)
{
	if (!m->tdx)
		return "an ordinary VM (tee none) has no MRCONFIGID";
	return m->mr_config.pending
		       ? "it covers the instance id, which is generated when the CVM is created"
		       : "dstack images before 0.5.2 do not support MRCONFIGID";
}

static json_t *serialize_mr_config(const struct measurements *m)
{
	const struct mr_config *c = &m->mr_config;
	char hex[2 * MR_CONFIG_ID_LEN + 1];

	if (!c->version || c->pending)
		return json_pack("{s:i,s:n,s:n,s:s}", "version", (int)c->version, "id", "document",
				 "reason", mr_config_absence(m));
	id_hex(c->id, MR_CONFIG_ID_LEN, hex);
	return json_pack("{s:i,s:s,s:s?,s:n}", "version", (int)c->version, "id", hex, "document",
			 c->document, "reason");
}

/* MROWNER and MROWNERCONFIG; null for a VM without TDX. */
static void put_owner_register(json_t *o, const char *key, const struct measurements *m,
			       const uint8_t value[TDX_MR_LEN])
{
	char hex[2 * TDX_MR_LEN + 1];

	id_hex(value, TDX_MR_LEN, hex);
	json_object_set_new(o, key, m->tdx ? json_string(hex) : json_null());
}

static json_t *serialize_measurements(const struct measurements *m)
{
	json_t *o = json_pack("{s:s,s:s,s:s,s:o,s:o,s:s,s:o,s:b}", "tee", m->tdx ? "tdx" : "none",
			      "compose_hash", m->compose_hash, "app_id", m->app_id, "os_image_hash",
			      json_text_or_null(m->os_image_hash), "mr_config",
			      serialize_mr_config(m), "vm_config", m->vm_config, "mrtd",
			      serialize_register(&m->mrtd), "lite_variant", m->lite);
	static const char *const names[RTMRS] = { "rtmr0", "rtmr1", "rtmr2", "rtmr3" };

	for (int i = 0; i < RTMRS; i++)
		json_object_set_new(o, names[i], serialize_register(&m->rtmr[i]));
	put_owner_register(o, "mr_owner", m, m->mr_owner);
	put_owner_register(o, "mr_owner_config", m, m->mr_owner_config);
	json_object_set_new(o, "firmware",
			    m->tdx ? json_string(m->image_firmware ? "image" : "node")
				   : json_null());
	return o;
}

/* ------------------------------------------------------------------ GET /cvms/{id}/measurements */

static void measurements_ready(void *arg, const struct measurements *m, const struct err *e)
{
	struct call *c = arg;

	if (e)
		call_reply_err(c, e);
	else
		call_reply(c, 200, serialize_measurements(m));
}

static void get_measurements(struct call *c)
{
	struct vmm *v = api_of(c)->vmm;
	auto_free char *manifest = NULL;
	struct cvm_row row;
	struct err e;

	if (api_find_cvm(c, c->param[0], &row, &e) || vmm_manifest(v, &row, &manifest, &e))
		call_reply_err(c, &e);
	else
		vmm_measure(v, &row, manifest, measurements_ready, c);
}

/* ------------------------------------------------------------------ preflights */

void preflight_reply_refused(struct call *c, const struct err *e)
{
	if (e->code == ERR_INVALID)
		call_reply_err(c, e);
	else
		call_reply(c, 200,
			   json_pack("{s:b,s:o}", "fits", 0, "error",
				     envelope_for(c->caller.role, c->request_id, e)));
}

struct preflight_fit {
	struct call *call;
	json_t *body; /* owned */
};

static void preflight_fit_end(struct preflight_fit *f, json_t *measurements)
{
	assert(f->call);
	json_object_set_new(f->body, "measurements", measurements);
	call_reply(f->call, 200, f->body);
	free(f);
}

static void preflight_fit_refuse(struct preflight_fit *f, const struct err *e)
{
	if (e->code == ERR_UNAVAILABLE) {
		preflight_fit_end(f, json_null());
		return;
	}
	preflight_reply_refused(f->call, e);
	json_decref(f->body);
	free(f);
}

static void preflight_fit_measured(void *arg, const struct measurements *m, const struct err *e)
{
	if (e)
		preflight_fit_refuse(arg, e);
	else
		preflight_fit_end(arg, serialize_measurements(m));
}

static struct preflight_fit *preflight_fit_new(struct call *c, json_t *body)
{
	struct preflight_fit *f = xcalloc(1, sizeof(*f));

	*f = (struct preflight_fit){ .call = c, .body = body };
	return f;
}

void preflight_reply_measured(struct call *c, json_t *body, const struct cvm_row *row,
			      const char *manifest)
{
	vmm_measure(api_of(c)->vmm, row, manifest, preflight_fit_measured,
		    preflight_fit_new(c, body));
}

/* ------------------------------------------------------------------ POST /cvms/{id}/preflight */

static json_t *serialize_resources(const struct cvm_row *c)
{
	return json_pack("{s:I,s:I,s:I}", "vcpus", (json_int_t)c->given_vcpus, "memory_mib",
			 (json_int_t)c->given_memory_mib, "disk_gib", (json_int_t)c->disk_gib);
}

static json_t *serialize_change_fit(const struct cvm_row *before, const struct change_fit *f)
{
	json_t *changes = json_array();

	for (int i = 0; i < CHANGES; i++)
		if (f->changes[i])
			json_array_append_new(changes, json_string(change_word[i]));
	return json_pack("{s:b,s:o,s:b,s:{s:o,s:o}}", "fits", 1, "changes", changes,
			 "restart_needed", f->restart, "resources", "present",
			 serialize_resources(before), "after", serialize_resources(&f->after));
}

struct change_preflight {
	struct preflight_fit
		fit; /* first member: preflight_fit_refuse() frees the struct through it */
	struct cvm_row after;
	char *manifest_after; /* owned */
	json_t *present;      /* measurements, owned */
};

static void change_after_measured(void *arg, const struct measurements *m, const struct err *e)
{
	struct change_preflight *a = arg;
	json_t *present = take_ptr(&a->present);

	free(a->manifest_after);
	if (m) {
		preflight_fit_end(&a->fit, json_pack("{s:o,s:o}", "present", present, "after",
						     serialize_measurements(m)));
		return;
	}
	json_decref(present);
	preflight_fit_refuse(&a->fit, e);
}

/* The present CVM may not be measurable (for example with a damaged image). The change may repair
 * that, so continue. */
static void change_present_measured(void *arg, const struct measurements *m, const struct err *e)
{
	struct change_preflight *a = arg;
	struct err cut;

	assert(!m != !e && !a->present);
	a->present = e ? json_null() : serialize_measurements(m);
	if (call_refuse_cut(a->fit.call, &cut))
		change_after_measured(a, NULL, &cut);
	else
		vmm_measure(api_of(a->fit.call)->vmm, &a->after, a->manifest_after,
			    change_after_measured, a);
}

static void change_preflight_reply(struct call *c, const struct cvm_row *cvm, struct change_fit *f)
{
	struct change_preflight *a = xcalloc(1, sizeof(*a));

	a->fit = (struct preflight_fit){ .call = c, .body = serialize_change_fit(cvm, f) };
	a->after = f->after;
	a->manifest_after = take_ptr(&f->manifest_after);
	vmm_measure(api_of(c)->vmm, cvm, f->manifest, change_present_measured, a);
	change_fit_free(f);
}

static void post_change_preflight(struct call *c)
{
	auto_json json_t *body = NULL, *manifest = NULL;
	struct preflight_request req = { 0 };
	struct change_fit fit;
	struct cvm_row row;
	struct err e;
	int r;

	body = call_json(c, false, &e);
	r = body ? api_find_cvm(c, c->param[0], &row, &e) : -1;

	if (!r)
		r = parse_preflight_body(body, row.name, &req, &manifest, &e);
	if (r) {
		call_reply_err(c, &e);
		return;
	}
	r = vmm_preflight_change(api_of(c)->vmm, &row, &req, &fit, &e);
	if (r)
		preflight_reply_refused(c, &e);
	else
		change_preflight_reply(c, &row, &fit);
}

enum { BODY_MAX = 1024 * 1024 };

const struct route measurement_routes[] = {
	{ "GET", "/api/v1/cvms/{id}/measurements", ROLE_READER, 0, 0, get_measurements, NULL },
	{ "POST", "/api/v1/cvms/{id}/preflight", ROLE_READER, 0, BODY_MAX, post_change_preflight,
	  &change_preflight_table },
	{ 0 },
};
