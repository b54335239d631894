/* SPDX-License-Identifier: Apache-2.0
 * virt_error.c - maps errors of libvirt to error codes of ours.
 */
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "vmm/virt/virt_error.h"

static enum err_code virt_error_code(const virError *v)
{
	switch (v->code) {
	case VIR_ERR_NO_DOMAIN:
		return ERR_NOT_FOUND;
	case VIR_ERR_NO_SUPPORT:
	case VIR_ERR_CONFIG_UNSUPPORTED:
	case VIR_ERR_ARGUMENT_UNSUPPORTED:
		return ERR_UNSUPPORTED;
	case VIR_ERR_NO_CONNECT:
	case VIR_ERR_INVALID_CONN:
		return ERR_UNAVAILABLE;
	case VIR_ERR_OPERATION_TIMEOUT:
		return ERR_TIMEOUT;
	default:
		/* "client socket is closed": libvirtd has ended. */
		return v->domain == VIR_FROM_RPC ? ERR_UNAVAILABLE : ERR_HOST;
	}
}

/* The message may contain all that QEMU wrote: err_cause() shortens it. */
int virt_err(struct err *e, const char *what)
{
	const virError *v = virGetLastError();
	char cause[sizeof(e->text)];

	if (!v)
		return err_set(e, ERR_HOST, "%s: libvirt gave no reason", what);
	err_cause(v->message, cause, sizeof(cause));
	return err_set(e, virt_error_code(v), "%s: %s", what, cause);
}
