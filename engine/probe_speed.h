/* SPDX-License-Identifier: MIT */
/*
 * probe_speed.h - how fast each backend moves bytes between two folders, and which one to
 * choose
 */
#ifndef ENGINE_PROBE_SPEED_H
#define ENGINE_PROBE_SPEED_H

#include <jansson.h>

#include "watch.h"

/* A tick of @w: 0, or what it says; -ECANCELED also if it is to rest. */
int probe_tick(struct watch *w);

/*
 * Copies a file of no name, over and over for about a second, and adds to @doc
 *
 *	"IoUring": {"Allowed", "Reason", "DeferTaskrun", "RegisteredBuffers"}
 *	"Speeds": [{"Backend", "BlockSize", "QueueDepth", "BytesPerSecond"}, ...]
 *	"Choice": {"Backend", "BlockSize", "QueueDepth", "Reason"}
 *
 * Where nothing could be measured Choice is null and "SpeedReason" says why. 0, -errno or
 * what a tick says.
 */
int probe_speed(json_t *doc, int src_dirfd, int dst_dirfd, struct watch *w);

#endif
