/* SPDX-License-Identifier: Apache-2.0
 * update_steps.h - the steps of resize and upgrade.
 */
#ifndef TEEPOD_VMM_CVM_UPDATE_STEPS_H
#define TEEPOD_VMM_CVM_UPDATE_STEPS_H

/* Register the table of resize and upgrade, before the first operation runs. */
void update_steps_register(void);

#endif
