/* SPDX-License-Identifier: Apache-2.0
 * resume.h - resumes guests that were paused on a full disk. Loop thread only.
 */
#ifndef TEEPOD_VMM_CVM_RESUME_H
#define TEEPOD_VMM_CVM_RESUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct resumes;
struct vmm;

struct resumes *resumes_new(void);
/* Not while a job runs. */
void resumes_free(struct resumes *s);

/* A guest may be paused on a full disk: poll the free space soon, and again while one is. */
void resume_poll_soon(struct vmm *v);
/* The node closes: cancel the timer. */
void resume_close(struct vmm *v);

#endif
