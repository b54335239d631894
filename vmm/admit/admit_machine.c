/* SPDX-License-Identifier: Apache-2.0
 * admit_machine.c - rules about the machine of a CVM: TDX or ordinary VM, interfaces, volumes.
 */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "db/cvms.h"
#include "vmm/admit/admit_machine.h"
#include "vmm/admit/networks.h"
#include "vmm/admit/request.h"
#include "vmm/admit/volumes.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/virt/domain_spec.h"
#include "vmm/virt/hypervisor.h"

/* ------------------------------------------------------------------ confidential or not */

/* A production image runs only in a TEE: the host can read the memory of an ordinary VM, and a
 * request that forgot to set tee must not expose secrets. Dev images are exempt; for others the
 * operator must set cvm.prod_without_tee. */
int tee_allows(const struct vmm *v, const struct cvm_row *c, struct err *e)
{
	if (c->tdx || c->image_dev || vmm_settings(v)->prod_without_tee)
		return 0;
	err_field(e, ERR_IMAGE_MISMATCH, "image", c->image_name,
		  "%s is a production image: it runs only in a TEE, and here it would be an "
		  "ordinary VM",
		  c->image_name);
	return err_hint(e, "use a dev image (prefer_dev), use a node with TDX, or set "
			   "cvm.prod_without_tee = yes");
}

static int tee_refuse_tdx(const char *why, struct err *e)
{
	err_field(e, ERR_INCOMPATIBLE, "tee", "tdx", "this node cannot run TDX CVMs: %s", why);
	return err_hint(e, "teepod --check-host shows what is missing");
}

/* The capabilities are known only after the hypervisor connected. A request cannot weaken the
 * node's setting. */
static int tee_choose(struct vmm *v, enum tee_setting requested, bool *ret, struct err *e)
{
	const struct hv_caps *caps = hv_caps(vmm_hv(v));
	bool want = vmm_settings(v)->tee == TEE_TDX || requested == TEE_TDX;

	if (requested == TEE_NONE && vmm_settings(v)->tee == TEE_TDX)
		return err_field(
			e, ERR_INCOMPATIBLE, "tee", "none",
			"tee is none, and this node runs TDX CVMs only (hypervisor.tee = tdx)");
	if (requested == TEE_TDX && vmm_settings(v)->tee == TEE_NONE)
		return tee_refuse_tdx("it runs in development mode (hypervisor.tee = none)", e);
	if (requested == TEE_NONE || vmm_settings(v)->tee == TEE_NONE) {
		*ret = false;
		return 0;
	}
	if (!caps) {
		err_set(e, ERR_UNAVAILABLE,
			"the hypervisor is not connected yet, so it is not known whether this node "
			"has TDX");
		return err_hint(e, "try again when /readyz answers 200");
	}
	if (want && !caps->tdx)
		return tee_refuse_tdx(caps->tdx_reason, e);
	*ret = caps->tdx;
	return 0;
}

int admit_registers(const struct cvm_request *req, struct cvm_row *c, struct err *e)
{
	if (req->tdx.given && !c->tdx)
		return err_field(e, ERR_INCOMPATIBLE, "tdx", NULL,
				 "tdx is given, and this CVM would be an ordinary VM");
	c->tdx_policy = (int64_t)(req->tdx.given ? req->tdx.policy : TDX_POLICY_SEPT_VE_DISABLE);
	memcpy(c->mr_owner, req->tdx.mr_owner, sizeof(c->mr_owner));
	memcpy(c->mr_owner_config, req->tdx.mr_owner_config, sizeof(c->mr_owner_config));
	return 0;
}

int admit_tee(struct vmm *v, const struct cvm_request *req, struct cvm_row *c, struct err *e)
{
	int r = tee_choose(v, req->tee, &c->tdx, e);

	if (!r)
		r = admit_registers(req, c, e);
	return r ? r : tee_allows(v, c, e);
}

/* ------------------------------------------------------------------ interfaces and volumes */

static bool bridge_is_listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	while (*list) {
		size_t k;

		list += strspn(list, ", ");
		k = strcspn(list, ", ");
		if (k == n && !strncmp(list, name, n))
			return true;
		list += k;
	}
	return false;
}

static bool bridge_is_allowed(const struct vmm *v, const char *bridge)
{
	struct network own[DOMAIN_NICS];
	struct err ignored;
	unsigned n;

	if (bridge_is_listed(vmm_settings(v)->bridges, bridge))
		return true;
	if (networks_parse("cvm.networks", vmm_settings(v)->networks, own, &n, &ignored) < 0)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (own[i].mode == NIC_BRIDGE && !strcmp(own[i].bridge, bridge))
			return true;
	return false;
}

static int bridge_check(const struct vmm *v, unsigned i, const char *bridge, struct err *e)
{
	char field[48];

	(void)snprintf(field, sizeof(field), "networks[%u].bridge_name", i);
	if (!bridge_is_allowed(v, bridge)) {
		err_field(e, ERR_INVALID, field, bridge, "%s: bridge %s is not offered to CVMs",
			  field, bridge);
		return err_hint(e, "offered: %s",
				*vmm_settings(v)->bridges ? vmm_settings(v)->bridges
							  : "none (cvm.bridges)");
	}
	if (!network_bridge_exists(vmm_settings(v)->host_root, bridge))
		return err_field(e, ERR_UNSUPPORTED, field, bridge, "this host has no bridge %s",
				 bridge);
	return 0;
}

int admit_ports(const struct cvm_row *c, size_t n_ports, struct err *e)
{
	struct network nics[DOMAIN_NICS];
	unsigned n;
	int r = n_ports ? networks_parse("networks", c->networks, nics, &n, e) : 0;

	if (r || !n_ports || networks_first_user(nics, n) >= 0)
		return r;
	return err_field(
		e, ERR_INCOMPATIBLE, "ports", NULL,
		"ports can be forwarded only to an interface of mode user, and networks has none");
}

int admit_networks(struct vmm *v, const struct cvm_request *req, struct cvm_row *c, struct err *e)
{
	const char *text =
		req->networks && *req->networks ? req->networks : vmm_settings(v)->networks;
	struct network nics[DOMAIN_NICS];
	unsigned n;
	int r = networks_parse("networks", text, nics, &n, e);

	for (unsigned i = 0; !r && i < n; i++)
		if (nics[i].mode == NIC_BRIDGE)
			r = bridge_check(v, i, nics[i].bridge, e);
	if (r)
		return r;
	networks_format(nics, n, c->networks);
	return admit_ports(c, req->n_ports, e);
}

int admit_volumes(const struct vmm *v, const json_t *manifest, struct err *e)
{
	auto_volumes struct volumes found = { 0 };

	return volumes_of(manifest, vmm_settings(v)->volumes_dir, &found, e);
}
