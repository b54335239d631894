/* SPDX-License-Identifier: Apache-2.0
 * measure.c - compute the measurements of a machine that may not exist yet: MRCONFIGID, vm_config,
 * MRTD, RTMR1 and RTMR2.
 *
 * RTMR0 and RTMR3 are never computed here. RTMR0 covers the ACPI tables that QEMU builds from the
 * device layout at start, the TD HOB and firmware variables; a verifier recomputes it from
 * vm_config, or ignores it if the firmware supports the lite variant. RTMR3 is extended by the
 * running guest. The result states the reason for both.
 *
 * The machine comes from machine.c, so the measurements are those of the machine that is started.
 * measure_request.c runs this in jobs.
 */
#include "db/cvms.h"
#include "images/images.h"
#include "vmm/guest/measure.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/guest/machine.h"
#include "vmm/guest/guest_files.h"
#include "vmm/tdx/file_measures.h"
#include "vmm/tdx/mr_config.h"

static void measure_without_tdx(struct measurements *m)
{
	static const char why[] = "an ordinary VM (tee none) has no such register";

	measure_failed(&m->mrtd, "%s", why);
	for (int i = 0; i < RTMRS; i++)
		measure_failed(&m->rtmr[i], "%s", why);
}

static void measure_files(const struct machine_in *in, const struct machine *machine,
			  const struct file_measures *known, struct measurements *m,
			  struct file_measures *files)
{
	const struct boot_files f = { .firmware = machine->firmware,
				      .kernel = machine->kernel,
				      .initrd = machine->initrd,
				      .cmdline = machine->spec.cmdline,
				      .qemu = machine->vm.qemu_version,
				      .memory_mib = machine->spec.memory_mib,
				      .kernel_normalized = in->boot->kernel_header_normalized };

	file_measures(&f, known, files);
	m->mrtd = files->mrtd;
	m->rtmr[1] = files->rtmr1;
	m->rtmr[2] = files->rtmr2;
	measure_failed(
		&m->rtmr[0],
		"computed when the VM starts (ACPI tables, TD HOB, boot variables): a verifier "
		"recomputes it from vm_config%s",
		m->lite ? "; this TD uses the lite variant, which does not need it" : "");
	measure_failed(&m->rtmr[3],
		       "extended by the running guest: its event log lists the values");
}

int measure(const struct machine_in *in, const struct file_measures *known,
	    struct measurements *ret, struct file_measures *ret_files, struct err *e)
{
	auto_machine struct machine machine = { 0 };
	auto_measurements struct measurements m = { .tdx = in->cvm->tdx,
						    .image_firmware = in->boot->bios[0] };
	struct file_measures files = { 0 };
	int r = machine_make(in, &machine, e);

	if (r)
		return r;
	m.mr_config = machine.mr;
	machine.mr = (struct mr_config){ 0 };
	memcpy(m.mr_owner, machine.spec.mr_owner, sizeof(m.mr_owner));
	memcpy(m.mr_owner_config, machine.spec.mr_owner_config, sizeof(m.mr_owner_config));
	memcpy(m.compose_hash, in->cvm->compose_hash, sizeof(m.compose_hash));
	memcpy(m.app_id, in->cvm->app_id, sizeof(m.app_id));
	memcpy(m.os_image_hash, in->cvm->image_hash, sizeof(m.os_image_hash));
	m.vm_config = guest_vm_config_text(&machine.vm);
	m.lite = machine.variant.lite;
	if (m.tdx)
		measure_files(in, &machine, known, &m, &files);
	else
		measure_without_tdx(&m);
	*ret = m;
	*ret_files = files;
	m = (struct measurements){ 0 };
	return 0;
}

void measurements_free(struct measurements *m)
{
	mr_config_free(&m->mr_config);
	free(m->vm_config);
	m->vm_config = NULL;
}
