/* SPDX-License-Identifier: Apache-2.0
 * device_state.h - whether a device of the host is offered to CVMs, and whether it is free. Pure.
 */
#ifndef TEEPOD_VMM_HOST_DEVICE_STATE_H
#define TEEPOD_VMM_HOST_DEVICE_STATE_H

#include <stdbool.h>

struct device_row;
struct gpu_settings;

enum { DEVICE_WHY = 200 };
enum device_state { DEVICE_FREE, DEVICE_RESERVED, DEVICE_IN_USE, DEVICE_BROKEN, DEVICE_STATES };
extern const char *const device_state_word[DEVICE_STATES];

/* @why: the reason why the device is not free; "" if it is free, or if its holder is the reason. */
enum device_state device_state(const struct device_row *d, char why[DEVICE_WHY]);
/* Do the settings offer this device? An NVSwitch is offered, but only with attach mode all. */
bool device_offered(const struct gpu_settings *g, const struct device_row *d);

#endif
