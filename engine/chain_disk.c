/* SPDX-License-Identifier: MIT */
/*
 * chain_disk.c - the parts of one disk, checked and laid over each other
 */
#include "chain_disk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "doc.h"
#include "exported_image.h"
#include "io/base.h"
#include "layer_diff.h"
#include "leaves.h"

/* The sizes of a differential and of what lies below it must be those it was made for. */
static uint32_t check_fit(const struct chain_disk *d, size_t i, struct rp_error *err)
{
	uint64_t want = d->base_size[i - 1];

	if (d->layer[i]->size == want)
		return RP_OK;
	return rp_fail_disk(err, d->id, RP_NO_OFFSET, RP_UNKNOWN_STATUS, "check",
			    "check %s: made for a base of %" PRIu64
			    " bytes, %s has %" PRIu64,
			    d->path[i - 1], want, d->path[i], d->layer[i]->size);
}

static uint32_t open_image(struct chain_disk *d, const json_t *disk,
			   const struct io_file *file, struct change_list *list,
			   struct rp_error *err)
{
	struct image_file *image;
	const char *path = d->path[d->count];
	uint32_t rc = exported_image_open(disk, file, path, &image, err);

	if (rc)
		return rc;
	if (image->based != !!list) {
		image_close(image);
		return rp_fail_disk(err, d->id, RP_NO_OFFSET, RP_UNKNOWN_STATUS, "check",
				    "check %s: it is %s", path,
				    list ? "not based on another image"
					 : "based on another image");
	}
	d->image[d->count] = image;
	d->layer[d->count++] = &image->layer;
	return RP_OK;
}

/* No digest tells zeros of an image from what it leaves to its base; its list does. And a
 * whole one may have no digest: then nobody else reads its tables before it is restored.
 */
static uint32_t check_image(const struct chain_disk *d, size_t i, struct rp_error *err)
{
	uint64_t offset;
	uint32_t rc;
	int r;

	if (!d->image[i])
		return RP_OK;
	r = d->list[i] ? exported_image_fits(d->image[i], d->list[i], &offset)
		       : exported_image_mapped(d->image[i], &offset);
	if (r == 0)
		return RP_OK;
	if (r == -EBADMSG && d->list[i])
		rc = rp_fail(err, RP_UNKNOWN_STATUS, "check",
			     "check %s: at %" PRIu64 " it is not what its list says",
			     d->path[i], offset);
	else
		rc = rp_fail_os(err, r, "map", "%s at %" PRIu64, d->path[i], offset);
	if (err)
		err->offset = offset;
	rp_fail_of(err, NULL, d->id);
	return rc;
}

static uint32_t open_raw(struct chain_disk *d, const json_t *disk,
			 const struct io_file *file, struct change_list *list,
			 struct rp_error *err)
{
	struct layer_diff *diff = calloc(1, sizeof(*diff));

	if (!diff)
		return rp_fail_os(err, -ENOMEM, "open", "%s", d->path[d->count]);
	diff->layer.file = *file;
	diff->layer.path = d->path[d->count];
	if (list)
		layer_diff_listed(diff, list);
	else
		layer_raw(&diff->layer);
	if (!list) /* that of its file, unless that was cut */
		doc_u64(disk, "VirtualSize", &diff->layer.size);
	d->layer[d->count++] = &diff->layer;
	return RP_OK;
}

static uint32_t open_file(struct chain_disk *d, const struct exported *e,
			  const json_t *disk, struct change_list *list, bool some,
			  struct rp_error *err)
{
	const char *path = d->path[d->count];
	struct io_file file = IO_FILE_NONE;
	uint32_t rc = some ? exported_open_some(e, disk, path, &file, err)
			   : exported_open_file(e, disk, path, &file, err);

	if (rc == RP_OK)
		rc = exported_is_image(disk) ? open_image(d, disk, &file, list, err)
					     : open_raw(d, disk, &file, list, err);
	if (rc)
		io_file_close(&file);
	/* Nothing can be read of it, but its list tells what it had. */
	if (rc && some && list && !rp_is_shortage(rc, err)) {
		rp_error_clear(err);
		rc = open_raw(d, disk, &file, list, err);
	}
	return rc;
}

/* Next is what the last layer leaves to it; @some: what there is of it will do. */
static uint32_t open_layer(struct chain_disk *d, const struct exported *e, bool some,
			   struct watch *w, struct rp_error *err)
{
	const json_t *disk = exported_disk(e, d->id);
	struct change_list *list = NULL;
	size_t before = d->count;
	uint32_t rc = RP_OK;

	if (asprintf(&d->path[before], "%s/%s", e->path,
		     json_string_value(json_object_get(disk, "File"))) < 0) {
		d->path[before] = NULL;
		return rp_fail_os(err, -ENOMEM, "open", "export %s", e->path);
	}
	if (exported_is_differential(disk))
		rc = exported_open_list(e, disk, w, &list, err);
	if (rc == RP_OK && list)
		d->base_size[before] = change_list_head(list)->base_size;
	if (rc == RP_OK)
		rc = open_file(d, e, disk, list, some, err);
	if (rc)
		change_list_close(list);
	else
		d->list[before] = list;
	return rc;
}

static void close_last(struct chain_disk *d)
{
	size_t i = --d->count;

	layer_close(d->layer[i]);
	change_list_close(d->list[i]);
	if (d->image[i])
		image_close(d->image[i]);
	else
		free(container_of(d->layer[i], struct layer_diff, layer));
	free(d->path[i]);
	d->path[i] = NULL;
}

/* Of part @i, whose folder need not be open. */
static uint32_t open_part(const struct chain *c, size_t i, struct chain_disk *d,
			  bool some, struct watch *w, struct rp_error *err)
{
	struct exported e = c->parts[i];
	_cleanup_close_ int fd = -1;

	if (e.fd < 0) {
		fd = exported_wake(&e);
		if (fd < 0)
			return rp_fail_os(err, fd, "open", "export %s", e.path);
		e.fd = fd;
	}
	return open_layer(d, &e, some, w, err);
}

/* The last layer was checked: of it only its size is known. */
static void close_files(struct chain_disk *d)
{
	size_t i = d->count - 1;

	io_file_close(&d->layer[i]->file);
	change_list_close(take_ptr(d->list[i]));
}

static uint32_t open_layers(const struct chain *c, struct chain_disk *d, bool check,
			    struct watch *w, struct rp_error *cut, struct rp_error *err)
{
	for (size_t i = 0; i < c->count && chain_needs(c, i, d->id); i++) {
		uint32_t rc = open_part(c, i, d, cut, w, err);

		if (rc == RP_OK && i)
			rc = check_fit(d, i, err);
		if (rc == RP_OK && !cut)
			rc = check_image(d, i, err);
		if (i && chain_is_cut(rc, cut, err)) {
			if (d->count > i)
				close_last(d);
			return RP_OK;
		}
		if (rc)
			return rc;
		if (check)
			close_files(d);
	}
	return RP_OK;
}

/* Of a file that is one too many nobody sees why it is. */
static void tell_length(const struct chain *c, struct rp_error *err)
{
	size_t len;

	if (!err || err->os_error != EMFILE || c->count < 2)
		return;
	len = strlen(err->message);
	snprintf(err->message + len, sizeof(err->message) - len,
		 "; the chain has %zu exports, merge shortens it", c->count);
}

static uint32_t open_disk(const struct chain *c, const char *id, bool check,
			  struct watch *w, struct chain_disk *ret, struct rp_error *cut,
			  struct rp_error *err)
{
	struct chain_disk d = {.id = id};
	uint32_t rc;

	d.layer = calloc(c->count, sizeof(*d.layer));
	d.image = calloc(c->count, sizeof(*d.image));
	d.list = calloc(c->count, sizeof(*d.list));
	d.base_size = calloc(c->count, sizeof(*d.base_size));
	d.path = calloc(c->count + 1, sizeof(*d.path)); /* one not opened, perhaps */
	if (!d.layer || !d.image || !d.list || !d.base_size || !d.path)
		rc = rp_fail_os(err, -ENOMEM, "open", "export %s", c->paths[0]);
	else
		rc = open_layers(c, &d, check, w, cut, err);
	if (rc) {
		chain_disk_close(&d);
		if (!check)
			tell_length(c, err);
		return rc;
	}
	layers_init(&d.layers, d.layer, d.count);
	*ret = d;
	return RP_OK;
}

uint32_t chain_disk_open(const struct chain *c, const char *id, struct watch *w,
			 struct chain_disk *ret, struct rp_error *err)
{
	return open_disk(c, id, false, w, ret, NULL, err);
}

uint32_t chain_disk_check(const struct chain *c, const char *id, struct watch *w,
			  uint64_t *ret_size, struct rp_error *err)
{
	struct chain_disk d = {0};
	uint32_t rc = open_disk(c, id, true, w, &d, NULL, err);

	if (rc == RP_OK)
		*ret_size = d.layers.source.size;
	chain_disk_close(&d);
	return rc;
}

uint32_t chain_disk_open_some(const struct chain *c, const char *id, struct watch *w,
			      struct chain_disk *ret, struct rp_error *ret_cut,
			      struct rp_error *err)
{
	rp_error_clear(ret_cut);
	return open_disk(c, id, false, w, ret, ret_cut, err);
}

uint32_t chain_disk_open_leaves(const struct chain *c, const struct chain_disk *d,
				struct watch *w, struct digest *ret, struct rp_error *err)
{
	const struct exported *image = &c->parts[d->count - 1];
	const json_t *disk = exported_disk(image, d->id);
	const char *path = d->path[d->count - 1];
	int r;

	if (exported_is_image(disk))
		return rp_fail(err, RP_NOT_SUPPORTED, "merge",
			       "merge with %s: only raw images can be", path);
	if (!chain_proves(c, d->count, d->id))
		return RP_OK;
	r = leaves_open(image->fd, json_object_get(disk, "Digest"),
			d->layer[d->count - 1]->size, w, ret);
	if (watch_is_stop(r))
		return watch_fail(w, r, err);
	if (r == -EBADMSG)
		return rp_fail(err, RP_UNKNOWN_STATUS, "merge", "digests of %s: damaged",
			       path);
	return r < 0 ? rp_fail_os(err, r, "open", "digests of %s", path) : RP_OK;
}

void chain_disk_close(struct chain_disk *d)
{
	if (d->path)
		free(d->path[d->count]);
	while (d->count)
		close_last(d);
	free(d->layer);
	free(d->image);
	free(d->list);
	free(d->base_size);
	free(d->path);
	*d = (struct chain_disk){0};
}

uint32_t chain_disks_fit(const struct chain *c, struct watch *w, struct rp_error *err)
{
	uint32_t rc = RP_OK;
	json_t *disk;
	size_t i;

	json_array_foreach(exported_disks(&c->parts[0]), i, disk) {
		const char *id;
		uint64_t size;

		doc_string(disk, "DiskId", &id);
		if (rc == RP_OK &&
		    (exported_is_differential(disk) || exported_is_image(disk)))
			rc = chain_disk_check(c, id, w, &size, err);
	}
	return rc;
}
