/* SPDX-License-Identifier: Apache-2.0
 * host_caps.c - reads the capabilities of the hypervisor, and why TDX is not available.
 *
 * TDX counts only if both versions are new enough (HV_TDX_... in hv_caps.h): older ones report it
 * on hosts that do not have it. The functions that read documents are pure, so that tests can feed
 * them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libxml/parser.h>
#include <libxml/xpath.h>

#include "base/fd.h"
#include "base/own.h"
#include "vmm/virt/child.h"
#include "vmm/virt/host_caps.h"
#include "vmm/virt/virt_error.h"

static void own_xml_doc(xmlDoc **d)
{
	if (*d)
		xmlFreeDoc(*d);
}

#define auto_xml __attribute__((cleanup(own_xml_doc)))

/* String value of @path; "" when nothing matches. */
static void xpath_string(xmlDoc *doc, const char *path, char *out, size_t n)
{
	xmlXPathContext *ctx = xmlXPathNewContext(doc);
	xmlXPathObject *v = ctx ? xmlXPathEvalExpression((const xmlChar *)path, ctx) : NULL;
	xmlChar *s = v ? xmlXPathCastToString(v) : NULL;

	(void)snprintf(out, n, "%s", s ? (const char *)s : "");
	xmlFree(s);
	xmlXPathFreeObject(v);
	xmlXPathFreeContext(ctx);
}

static void hv_version_text(unsigned long v, char out[16])
{
	(void)snprintf(out, 16, "%lu.%lu.%lu", v / 1000000 % 1000, v / 1000 % 1000, v % 1000);
}

/* "pc-q35-7.2" -> 7002000. The newest machine type has the version of its QEMU. libvirt reports
 * the version of a QEMU that is not its default only there. */
static unsigned long machine_version(const char *machine)
{
	const char *dash = strrchr(machine, '-');
	unsigned long major, minor;

	if (!dash || sscanf(dash + 1, "%lu.%lu", &major, &minor) != 2)
		return 0;
	return major * 1000000 + minor * 1000;
}

/* libvirt 12.8 lists iommufd (9.0 does not know it). "yes" is among the values if QEMU and the
 * kernel have it as well. */
static bool is_iommufd_offered(xmlDoc *doc)
{
	char offered[8];

	xpath_string(doc,
		     "boolean(/domainCapabilities/devices/hostdev[@supported='yes']"
		     "/enum[@name='iommufd']/value[.='yes'])",
		     offered, sizeof(offered));
	return !strcmp(offered, "true");
}

static void read_tdx_support(xmlDoc *doc, unsigned long libvirt, unsigned long qemu,
			     struct hv_caps *caps)
{
	char tdx[8], sec[8];

	caps->tdx = false;
	if (libvirt < HV_TDX_LIBVIRT) {
		(void)snprintf(caps->tdx_reason, sizeof(caps->tdx_reason),
			       "libvirt %s cannot report whether the host has TDX, 11.10 or newer "
			       "is needed",
			       caps->libvirt);
		return;
	}
	if (qemu < HV_TDX_QEMU) {
		(void)snprintf(caps->tdx_reason, sizeof(caps->tdx_reason),
			       "QEMU %s cannot run TDX guests, 10.1 or newer is needed",
			       caps->qemu);
		return;
	}
	xpath_string(doc, "/domainCapabilities/features/tdx/@supported", tdx, sizeof(tdx));
	xpath_string(doc,
		     "boolean(/domainCapabilities/features/launchSecurity[@supported='yes']"
		     "/enum[@name='sectype']/value[.='tdx'])",
		     sec, sizeof(sec));
	caps->tdx = !strcmp(tdx, "yes") || !strcmp(sec, "true");
	(void)snprintf(caps->tdx_reason, sizeof(caps->tdx_reason), "%s",
		       caps->tdx ? ""
				 : "libvirt and QEMU know TDX, this host does not offer it "
				   "(CPU, BIOS setting, or kvm_intel without tdx=1)");
}

int host_caps_read(const char *xml, unsigned long libvirt, unsigned long qemu, struct hv_caps *caps,
		   struct err *e)
{
	auto_xml xmlDoc *doc =
		xmlReadMemory(xml, (int)strlen(xml), NULL, NULL,
			      XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	unsigned long named;

	if (!doc)
		return err_set(e, ERR_HOST, "domain capabilities of libvirt are not XML");
	hv_version_text(libvirt, caps->libvirt);
	if (libvirt < HV_MIN_LIBVIRT)
		return err_set(e, ERR_HOST, "libvirt %s is too old, 6.2 or newer is needed",
			       caps->libvirt);
	xpath_string(doc, "/domainCapabilities/path", caps->emulator, sizeof(caps->emulator));
	xpath_string(doc, "/domainCapabilities/machine", caps->machine, sizeof(caps->machine));
	named = machine_version(caps->machine);
	if (named && named / 1000 != qemu / 1000)
		qemu = named;
	hv_version_text(qemu, caps->qemu);
	read_tdx_support(doc, libvirt, qemu, caps);
	caps->iommufd = is_iommufd_offered(doc);
	caps->slow_cpu_check = libvirt < HV_CPU_CHECK_FAST_LIBVIRT || qemu < HV_CPU_CHECK_FAST_QEMU;
	return 0;
}

/* The security model "dac" is listed if libvirt can change users. Its label is "+uid:+gid". */
void host_caps_user(const char *xml, struct hv_caps *caps)
{
	auto_xml xmlDoc *doc =
		xmlReadMemory(xml, (int)strlen(xml), NULL, NULL,
			      XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	char label[64];

	caps->has_user = false;
	if (!doc)
		return;
	xpath_string(doc, "/capabilities/host/secmodel[model='dac']/baselabel[1]", label,
		     sizeof(label));
	caps->has_user = sscanf(label, "+%u:+%u", &caps->uid, &caps->gid) == 2;
}

static bool cpu_virtualizes(void)
{
	auto_fclose FILE *f = fopen("/proc/cpuinfo", "re");
	char line[8192];

	while (f && fgets(line, sizeof(line), f)) {
		char *save = NULL;

		if (strncmp(line, "flags", 5) != 0)
			continue;
		for (char *w = strtok_r(line, " \t\n", &save); w;
		     w = strtok_r(NULL, " \t\n", &save))
			if (!strcmp(w, "vmx") || !strcmp(w, "svm"))
				return true;
		return false;
	}
	return false;
}

/* Some kernels offer /dev/kvm without hardware support (PVM) and cannot run ordinary guests.
 * Therefore the CPU must have vmx or svm, too. */
static bool kvm_works(void)
{
	auto_close int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	return fd >= 0 && cpu_virtualizes();
}

static int hint_emulator(int r, struct err *e)
{
	if (r &&
	    (strstr(e->text, "find suitable emulator") || strstr(e->text, "find any emulator")))
		err_hint(e, "install qemu-system-x86");
	return r;
}

/* The version of libvirt's default QEMU, and QEMU's user. */
static int query_version_and_user(virConnectPtr conn, unsigned long *version, struct hv_caps *caps,
				  struct err *e)
{
	auto_free char *xml = NULL;

	if (virConnectGetVersion(conn, version))
		return hint_emulator(virt_err(e, "hypervisor version"), e);
	xml = virConnectGetCapabilities(conn);
	if (!xml)
		return virt_err(e, "hypervisor capabilities");
	host_caps_user(xml, caps);
	caps->by_group = caps->has_user && geteuid() != 0;
	return 0;
}

/* "QEMU emulator version 7.2.22 (...)" -> 7002022 */
static int ask_emulator(char *emulator, unsigned long *ret, struct err *e)
{
	char *argv[] = { emulator, (char[]){ "--version" }, NULL };
	unsigned long major, minor, patch;
	char text[64];
	int r = child_output(argv, text, sizeof(text), e);

	if (r)
		return r;
	if (sscanf(text, "QEMU emulator version %lu.%lu.%lu", &major, &minor, &patch) != 3)
		return err_set(e, ERR_HOST, "%s --version does not tell a version of QEMU",
			       emulator);
	*ret = major * 1000000 + minor * 1000 + patch;
	return 0;
}

/* The embedded driver runs QEMU as the user of this process. For the version of QEMU, and for the
 * capabilities of the host, libvirt would read the capabilities of QEMU for i686 as well, or probe
 * it, although no guest uses it. QEMU itself tells its version faster. libvirt is asked if it does
 * not. */
static int read_embedded(virConnectPtr conn, const char *xml, unsigned long libvirt,
			 struct hv_caps *caps, struct err *e)
{
	unsigned long version = 0;
	struct err ignored;
	int r = host_caps_read(xml, libvirt, 0, caps, e);

	if (!r && ask_emulator(caps->emulator, &version, &ignored) &&
	    virConnectGetVersion(conn, &version))
		r = virt_err(e, "hypervisor version");
	return r ? r : host_caps_read(xml, libvirt, version, caps, e);
}

int host_caps_probe(virConnectPtr conn, const char *emulator, bool embedded, struct hv_caps *ret,
		    struct err *e)
{
	struct hv_caps caps = { .kvm = kvm_works(), .has_user = geteuid() == 0 };
	unsigned long libvirt = 0, qemu = 0;
	auto_free char *xml = NULL;
	int r = virConnectGetLibVersion(conn, &libvirt) ? virt_err(e, "hypervisor version") : 0;

	if (!r && !embedded)
		r = query_version_and_user(conn, &qemu, &caps, e);
	if (r)
		return r;
	/* Without a type libvirt describes KVM guests if it offers them, as a TD requires.
	 * kvm_works() is stricter, for ordinary guests. */
	xml = virConnectGetDomainCapabilities(conn, emulator, "x86_64", "q35", NULL, 0);
	if (xml) {
		r = embedded ? read_embedded(conn, xml, libvirt, &caps, e)
			     : host_caps_read(xml, libvirt, qemu, &caps, e);
		if (r)
			return r;
	} else {
		hv_version_text(libvirt, caps.libvirt);
		hv_version_text(qemu, caps.qemu);
		r = hint_emulator(virt_err(e, "hypervisor capabilities"), e);
		/* The test driver has no domain capabilities, and everything else works with it. */
		if (r != -ERR_UNSUPPORTED)
			return r;
		(void)snprintf(caps.tdx_reason, sizeof(caps.tdx_reason),
			       "this hypervisor driver does not support TDX");
	}
	*ret = caps;
	return 0;
}
