/* SPDX-License-Identifier: Apache-2.0
 * node_images.h - opens the image store of the node.
 */
#ifndef TEEPOD_VMM_NODE_NODE_IMAGES_H
#define TEEPOD_VMM_NODE_NODE_IMAGES_H

struct image_store;
struct vmm;

/* Needs the settings, the database and the turn of @v. Free with image_store_free(). */
struct image_store *node_images_open(struct vmm *v);

#endif
