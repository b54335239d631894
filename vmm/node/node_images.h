/* SPDX-License-Identifier: Apache-2.0
 * node_images.h - opens the image store of the node.
 */
#ifndef TEEPOD_VMM_NODE_NODE_IMAGES_H
#define TEEPOD_VMM_NODE_NODE_IMAGES_H

struct image_store;
struct vmm;

/* The settings, the database and the turn of @v must be there. Freed with image_store_free(). */
struct image_store *node_images_open(struct vmm *v);

#endif
