/* SPDX-License-Identifier: Apache-2.0
 * replicate.c - find the source of a replica, and create CVMs like it.
 *
 * If an app has several revisions, the request must name one by compose_hash, however the source
 * was named. phala 1.1.18 resolves an app to its first instance and sends that instance's UUID; if
 * the UUID were enough, the client would get a replica of an arbitrary revision.
 *
 * The replicas are created by create.c, each in a savepoint of its own.
 */
#include "vmm/cvm/replicate.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/ports.h"
#include "db/text.h"
#include "db/turn.h"
#include "vmm/admit/devices.h"
#include "vmm/admit/port_probe.h"
#include "vmm/admit/ports.h"
#include "vmm/admit/request.h"
#include "vmm/compose/compose.h"
#include "vmm/compose/compose_merge.h"
#include "vmm/cvm/create.h"
#include "vmm/node/find.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/node/event.h"
#include "vmm/op/op_begin.h"
#include "vmm/node/reads.h"

enum { SUFFIX = 5, NAME_TRIES = 16 };

/* ------------------------------------------------------------------ the source */

/* The same error for a CVM that never existed, is being deleted, or belongs to another workspace,
 * so that the answer does not reveal which. */
static int replica_no_source(const char *named, struct err *e)
{
	return err_field(e, ERR_REPLICA_SOURCE, "vm_uuid", named,
			 "no CVM %.60s to make a replica of", named);
}

static int replica_source_in(struct vmm *v, int64_t workspace, const struct replicate_request *req,
			     struct cvm_row *ret, struct err *e)
{
	const char *named = req->source ? req->source : req->app_id;
	char app_id[APP_ID_TEXT];
	struct cvm_row row;
	int r = vmm_find_first(v, workspace, named, &row, e);

	if (r == -ERR_CVM_NOT_FOUND || (!r && row.desired == DESIRED_DELETED))
		return replica_no_source(named, e);
	if (r)
		return r;
	if (req->app_id &&
	    (!identifier_app(req->app_id, app_id) || strcmp(app_id, row.app_id) != 0))
		return replica_no_source(named, e);
	*ret = row;
	return 0;
}

static int replica_source_find(struct vmm *v, const struct replicate_request *req,
			       struct cvm_row *ret, struct err *e)
{
	const char *named = req->source ? req->source : req->app_id;
	int r = replica_source_in(v, req->workspace, req, ret, e);

	if (req->elsewhere && (r == -ERR_REPLICA_SOURCE || (!r && found_by_odd_name(named, ret))))
		r = replica_source_in(v, 0, req, ret, e);
	return r;
}

/* Live instances of an app, newest first. */
struct instances {
	struct cvm_row *rows; /* owned */
	size_t n;
};

static bool is_newest_of_hash(const struct instances *all, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(all->rows[k].compose_hash, all->rows[i].compose_hash))
			return false;
	return true;
}

/* Write "<hash>, <hash>" with as many hashes as fit. Returns the number of revisions. */
static size_t list_hashes(const struct instances *all, char *out, size_t size)
{
	size_t n = 0, used = 0;

	out[0] = 0;
	for (size_t i = all->n; i-- > 0;) {
		if (!is_newest_of_hash(all, i))
			continue;
		if (used + SHA256_HEX + 2 < size)
			used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "",
						 all->rows[i].compose_hash);
		n++;
	}
	return n;
}

static int replica_hash_missing(const struct cvm_row *source, const struct instances *all,
				struct err *e)
{
	char hashes[sizeof(e->value)];
	size_t n = list_hashes(all, hashes, sizeof(hashes));

	err_set(e, ERR_REPLICA_HASH,
		"app %s has %zu revisions; compose_hash must name one of them: %s", source->app_id,
		n, hashes);
	(void)snprintf(e->field, sizeof(e->field), "compose_hash");
	memcpy(e->value, hashes, sizeof(e->value));
	return err_hint(e, "give compose_hash (--compose-hash), one of: %.130s%s", hashes,
			n > 2 ? ", ..." : "");
}

static int replica_hash_unknown(const struct cvm_row *source, const struct instances *all,
				const char *given, struct err *e)
{
	char hashes[140];

	list_hashes(all, hashes, sizeof(hashes));
	err_field(e, ERR_APP_CONFLICT, "compose_hash", given,
		  "app %s has no revision with compose_hash %.66s", source->app_id, given);
	return err_hint(e, "one of: %s", hashes);
}

/* *ret: @row has the revision @given. */
static int has_compose_hash(struct vmm *v, const struct cvm_row *row, const char *given, bool *ret,
			    struct err *e)
{
	auto_free char *text = NULL;
	auto_json json_t *manifest = NULL;
	int r = 0;

	*ret = !strcasecmp(row->compose_hash, given);
	if (!*ret) {
		r = vmm_manifest(v, row, &text, e);
		manifest = r ? NULL : json_loads(text, 0, NULL);
		*ret = manifest && compose_hash_names(manifest, given);
	}
	return r;
}

static int replica_source_by_hash(struct vmm *v, const struct instances *all, const char *given,
				  struct cvm_row *source, struct err *e)
{
	const char *hex = strncasecmp(given, "0x", 2) ? given : given + 2;
	bool is = false;
	int r;

	if (!id_is_hex(hex, SHA256_HEX - 1))
		return err_field(
			e, ERR_INVALID, "compose_hash", given,
			"compose_hash must have 64 hex digits, with an optional 0x prefix");
	r = has_compose_hash(v, source, hex, &is, e);
	if (r || is)
		return r;
	for (size_t i = all->n; i-- > 0;) {
		if (!is_newest_of_hash(all, i))
			continue;
		r = has_compose_hash(v, &all->rows[i], hex, &is, e);
		if (r)
			return r;
		if (is) {
			*source = all->rows[i];
			return 0;
		}
	}
	return replica_hash_unknown(source, all, given, e);
}

static int replica_source_select(struct vmm *v, const struct replicate_request *req,
				 struct cvm_row *source, struct err *e)
{
	auto_free struct cvm_row *rows = NULL;
	struct instances all;
	char hashes[4];
	int r = instances_of(v, source->workspace, source->app_id, &rows, &all.n, e);

	all.rows = rows;
	if (r)
		return r;
	/* New software needs no existing revision: it starts from the newest instance. */
	if (compose_merge_any(&req->software)) {
		if (!req->source && all.n)
			*source = rows[0];
		return 0;
	}
	if (req->compose_hash && *req->compose_hash)
		return replica_source_by_hash(v, &all, req->compose_hash, source, e);
	return list_hashes(&all, hashes, sizeof(hashes)) > 1 ? replica_hash_missing(source, &all, e)
							     : 0;
}

/* ------------------------------------------------------------------ the template */

/* Everything that the create request borrows. */
struct replica_template {
	struct cvm_row source;
	json_t *manifest;
	char *text; /* of the manifest */
	struct cvm_blobs blobs;
	struct port_request ports[CVM_PORTS_MAX];
	struct port_row *port_rows;
	struct gpu_request gpus[GPUS_MAX];
	struct device_row *devices;
	struct cvm_request req;
};

static void replica_template_free(struct replica_template *t)
{
	json_decref(t->manifest);
	free(t->text);
	cvm_blobs_free(&t->blobs);
	free(t->port_rows);
	free(t->devices);
}

/* The source keeps its host ports: the replica gets free ones. */
static int template_set_ports(struct vmm *v, struct replica_template *t, struct err *e)
{
	size_t n = 0;
	int r = ports_of(vmm_db(v), t->source.id, &t->port_rows, &n, e);

	for (size_t i = 0; !r && i < n && i < CVM_PORTS_MAX; i++) {
		const struct port_row *p = &t->port_rows[i];

		t->ports[t->req.n_ports++] = (struct port_request){ .udp = p->udp,
								    .host_address = p->host_address,
								    .vm_port = p->vm_port };
	}
	t->req.ports = t->ports;
	return r;
}

/* The source keeps its GPUs: the replica gets free ones of the same products. */
static int template_set_gpus(struct vmm *v, struct replica_template *t, struct err *e)
{
	size_t n = 0;
	int r = devices_of(vmm_db(v), t->source.id, &t->devices, &n, e);

	for (int i = 0; i < GPU_ATTACHES; i++)
		if (!strcmp(t->source.gpu_attach, gpu_attach_word[i]))
			t->req.gpu_attach = (enum gpu_attach)i;
	for (size_t i = 0;
	     !r && i < n && t->req.n_gpus < GPUS_MAX && t->req.gpu_attach == GPU_LISTED; i++)
		if (t->devices[i].kind == DEVICE_GPU)
			t->gpus[t->req.n_gpus++] =
				(struct gpu_request){ .product_id = t->devices[i].product_id };
	t->req.gpus = t->gpus;
	return r;
}

static int template_set_manifest(struct vmm *v, const struct replicate_request *req,
				 struct replica_template *t, struct err *e)
{
	auto_free char *text = NULL;
	auto_json json_t *own = NULL;
	int r = vmm_manifest(v, &t->source, &text, e);

	if (r)
		return r;
	own = json_loads(text, 0, NULL);
	if (!own)
		return err_set(e, ERR_HOST, "cannot parse the manifest of %s", t->source.name);
	if (!compose_merge_any(&req->software)) {
		t->manifest = take_ptr(&own);
	} else {
		r = compose_merge(own, &req->software, &t->manifest, e);
		if (!r && req->compose_hash && *req->compose_hash &&
		    !compose_hash_names(t->manifest, req->compose_hash))
			r = err_field(e, ERR_INCOMPATIBLE, "compose_hash", req->compose_hash,
				      "compose_hash is not the hash of the given compose file");
	}
	return r ? r : compose_envs_allowed(t->manifest, req->env_keys, "env_keys", e);
}

static int template_set_env(struct vmm *v, const struct replicate_request *req,
			    struct replica_template *t, struct err *e)
{
	int r = cvms_blobs(vmm_db(v), t->source.id, &t->blobs, e);

	if (r)
		return r == -ERR_NOT_FOUND ? replica_no_source(t->source.uuid, e) : r;
	t->req.encrypted_env = req->set_env ? req->encrypted_env : t->blobs.encrypted_env;
	t->req.encrypted_env_len =
		req->set_env ? req->encrypted_env_len : t->blobs.encrypted_env_len;
	t->req.user_config = t->blobs.user_config;
	return 0;
}

/* NULL if the instance type is not offered any more. The sizes are the source's anyway. */
static const char *offered_instance_type(const struct vmm *v, const struct cvm_row *c)
{
	for (size_t i = 0; i < vmm_settings(v)->n_types; i++)
		if (!strcmp(vmm_settings(v)->types[i].name, c->instance_type))
			return c->instance_type;
	return NULL;
}

static void template_set_machine(const struct vmm *v, const struct replicate_request *req,
				 struct replica_template *t)
{
	const struct cvm_row *c = &t->source;

	t->req = (struct cvm_request){
		.image = c->image_name,
		.prefer_dev = -1,
		.instance_type = offered_instance_type(v, c),
		.vcpus = c->vcpus,
		.memory_mib = c->memory_mib,
		.disk_gib = c->disk_gib,
		.node_id = req->node_id,
		.app_id = c->app_id,
		.listed = c->listed,
		.stopped = req->stopped,
		.tee = c->tdx ? TEE_TDX : TEE_NONE,
		.tdx = { .given = c->tdx, .policy = (uint64_t)c->tdx_policy },
		.networks = c->networks,
		.hugepages = c->hugepages,
		.pin_numa = c->pin_numa,
	};
	memcpy(t->req.tdx.mr_owner, c->mr_owner, sizeof(c->mr_owner));
	memcpy(t->req.tdx.mr_owner_config, c->mr_owner_config, sizeof(c->mr_owner_config));
}

/* The row of an image stays as long as a CVM uses it, but its files may have been deleted by hand.
 */
static int replica_image_check(const struct vmm *v, const struct cvm_row *c, struct err *e)
{
	auto_free char *dir = image_dir(v, c->image_name);
	auto_free char *metadata = xasprintf("%s/metadata.json", dir);

	if (!access(metadata, R_OK))
		return 0;
	err_field(e, ERR_REPLICA_IMAGE, "os_image", c->image_name,
		  "the files of image %s, which %s uses, are missing on node %s (%lld)",
		  c->image_name, c->name, vmm_settings(v)->node_name,
		  (long long)vmm_settings(v)->node_id);
	return err_hint(e, "import it again: POST /api/v1/images");
}

static int template_make(struct vmm *v, const struct replicate_request *req,
			 struct replica_template *t, struct err *e)
{
	int r = replica_source_find(v, req, &t->source, e);

	if (!r)
		r = replica_source_select(v, req, &t->source, e);
	if (!r)
		r = replica_image_check(v, &t->source, e);
	if (r)
		return r;
	template_set_machine(v, req, t);
	r = template_set_manifest(v, req, t, e);
	if (!r)
		r = template_set_env(v, req, t, e);
	if (!r)
		r = template_set_ports(v, t, e);
	if (!r)
		r = template_set_gpus(v, t, e);
	if (r)
		return r;
	/* computed once for all replicas */
	t->text = compose_text(t->manifest);
	t->req.manifest = t->manifest;
	t->req.manifest_text = t->text;
	return 0;
}

/* ------------------------------------------------------------------ creation */

/* The source's name, shortened if necessary, with a random suffix that is free. */
static int replica_name(struct vmm *v, const struct cvm_row *source, char out[NAME_TEXT],
			struct err *e)
{
	static const char letters[] =
		"abcdefghijkmnpqrstuvwxyz23456789"; /* 32 characters that are easy to tell apart */
	size_t base = strnlen(source->name, NAME_TEXT - 1 - SUFFIX - 1);
	struct cvm_row other;

	static_assert(sizeof(letters) == 32 + 1, "all letters are equally likely");
	while (base && source->name[base - 1] == '-')
		base--;
	for (int i = 0; i < NAME_TRIES; i++) {
		uint8_t dice[SUFFIX];
		int n;

		id_random(dice, sizeof(dice));
		(void)snprintf(out, NAME_TEXT, "%.*s-", (int)base, source->name);
		for (size_t k = 0; k < SUFFIX; k++)
			out[base + 1 + k] = letters[dice[k] % 32];
		out[base + 1 + SUFFIX] = 0;
		n = cvms_find(vmm_db(v), source->workspace, CVM_BY_NAME, out, &other, 1, e);
		if (n <= 0)
			return n;
	}
	return err_field(e, ERR_NAME_TAKEN, "name", source->name,
			 "found no free name for a replica of %s", source->name);
}

struct replica_job {
	struct vmm *v;
	struct replica_template *template;
	const struct request_ref *ref;
	struct replica *out;
};

static int replica_create(void *arg, struct err *e)
{
	struct replica_job *m = arg;
	const struct cvm_row *source = &m->template->source;
	struct cvm_request req = m->template->req;
	char name[NAME_TEXT];
	int r = replica_name(m->v, source, name, e);

	req.name = name;
	req.inspected = m->ref->inspected;
	if (!r)
		r = vmm_create(m->v, source->workspace, &req, m->ref, &m->out->row, &m->out->op, e);
	if (!r)
		r = event(m->v, &m->out->row, m->out->op.id, "cvm.replicated", e, "{s:s, s:s}",
			  "source", source->uuid, "compose_hash", m->out->row.compose_hash);
	return r;
}

static int replicate_refuse(size_t made, size_t count, struct err *e)
{
	if (e->code == ERR_CAPACITY && made)
		return err_hint(e, "%zu of %zu replicas would fit: request fewer, or set partial",
				made, count);
	return -(int)e->code;
}

static int replicate_all(struct vmm *v, struct replica_template *t, size_t count, bool partial,
			 const struct request_ref *ref, struct replica *out, size_t *ret_n,
			 struct err *ret_why, struct err *e)
{
	struct replica_job m = { v, t, ref, out };

	*ret_why = (struct err){ .code = ERR_NONE };
	for (*ret_n = 0; *ret_n < count; ++*ret_n, ++m.out) {
		if (turn_do(vmm_turn(v), replica_create, &m, e) >= 0)
			continue;
		/* Probe all ports at once: with a few per attempt the first replicas would be
		 * created again and again. */
		if (port_probe_is_missing(e) && count > 1)
			port_probe_want_all(v);
		if (!partial || !*ret_n || port_probe_is_missing(e))
			return replicate_refuse(*ret_n, count, e);
		*ret_why = *e;
		break;
	}
	return 0;
}

int vmm_replicate(struct vmm *v, const struct replicate_request *req, size_t count, bool partial,
		  const struct request_ref *ref, struct replica **ret, size_t *ret_n,
		  struct err *ret_why, struct err *e)
{
	auto_free struct replica_template *t = xcalloc(1, sizeof(*t));
	auto_free struct replica *out = xcalloc(count, sizeof(*out));
	struct err why;
	size_t n = 0;
	int r = template_make(v, req, t, e);

	assert(count >= 1 && count <= REPLICAS_MAX);
	if (!r)
		r = replicate_all(v, t, count, partial, ref, out, &n, &why, e);
	replica_template_free(t);
	if (r)
		return r;
	*ret = take_ptr(&out);
	*ret_n = n;
	*ret_why = why;
	return 0;
}
