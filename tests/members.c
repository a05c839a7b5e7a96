/* SPDX-License-Identifier: MIT */
/*
 * members.c - many systems, some with more than a chunk of data
 */
#include "members.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"

/* Small disks, and a few that are not. */
static uint64_t size_of(unsigned i)
{
	return i % 8 == 7 ? 5 * MIB + 512 * i : 65536 + 4096 * i + 1;
}

static void make_scattered(const char *path, uint64_t size)
{
	int fd = data_create(path, size);

	for (uint64_t at = 0; at < size; at += 128 * KIB)
		data_write(fd, 1, at, 64 * KIB);
	close(fd);
}

/* Its latest point. */
static void take(struct members *m, unsigned i)
{
	struct rp_error err;
	char *point;

	ASSERT_EQ(rp_create_reference_point(m->e.store, fmt("vm%02u", i), NULL, &point,
					    &err),
		  RP_OK, "%s", err.message);
	snprintf(m->names[i], POINT_SIZE, "%s", point);
	rp_free(point);
}

/* With a disk that was made. */
static void add(struct members *m, unsigned i)
{
	const char *name = fmt("vm%02u", i);
	struct rp_disk disk = {.id = "vda", .path = engine_disk(&m->e, fmt("disk%u", i))};
	struct rp_error err;

	ASSERT_EQ(rp_system_add(m->e.store, name, &disk, 1, NULL, 0, &err), RP_OK, "%s",
		  err.message);
	take(m, i);
	m->points[i] = m->names[i];
}

void members_open(struct members *m)
{
	engine_open(&m->e, "xfs", 0, NULL, NULL);
	for (unsigned i = 0; i < MEMBERS; i++) {
		engine_make_disk(&m->e, fmt("disk%u", i), size_of(i));
		add(m, i);
	}
	m->caller = pthread_self();
}

static void change(const char *path, uint64_t seed)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	data_write(fd, seed, 4096, 8192);
	close(fd);
}

void members_go_on(struct members *m, unsigned first)
{
	for (unsigned i = first; i < MEMBERS; i++) {
		change(engine_disk(&m->e, fmt("disk%u", i)), i);
		change(engine_twin(&m->e, fmt("disk%u", i)), i);
		take(m, i);
	}
}

void members_close(struct members *m)
{
	engine_close(&m->e);
}

void members_add_scattered(struct members *m)
{
	make_scattered(engine_disk(&m->e, fmt("disk%u", MEMBERS)), 16 * MIB);
	add(m, MEMBERS);
}

void members_told(void *context, size_t index, uint32_t value, const char *report,
		  const struct rp_error *error)
{
	struct members *m = context;

	ASSERT_LT(index, MEMBERS);
	EXPECT_TRUE(pthread_equal(pthread_self(), m->caller));
	m->told[index]++;
	m->values[index] = value;
	EXPECT_EQ(!!report, value == RP_OK);
	EXPECT_EQ(!!error, value != RP_OK);
	if (error)
		snprintf(m->messages[index], sizeof(m->messages[index]), "%s",
			 error->message);
}

uint32_t members_export(struct members *m, const struct rp_export_options *options,
			struct rp_error *err)
{
	return rp_export_set(m->e.store, m->points, MEMBERS, m->e.out, options,
			     members_told, m, err);
}

static const char *export_of(const struct members *m, unsigned i)
{
	return fmt("%s/vm%02u/%s", m->e.out, i, strchr(m->names[i], '@') + 1);
}

bool members_arrived(const struct members *m, unsigned i)
{
	const char *path = export_of(m, i);
	struct rp_error err;

	if (!exists(path))
		return false;
	EXPECT_EQ(rp_verify(path, NULL, NULL, &err), RP_OK, "%s", err.message);
	EXPECT_TRUE(
		data_same(fmt("%s/vda.raw", path), engine_twin(&m->e, fmt("disk%u", i))));
	return true;
}

bool members_arrived_as_change(const struct members *m, unsigned i)
{
	const char *path = export_of(m, i), *restored = fmt("%s/restored", m->e.out);
	struct rp_error err;
	json_t *manifest;

	if (!exists(path))
		return false;
	manifest = load_json(fmt("%s/export.json", path));
	EXPECT_STREQ(json_text(manifest, "Kind"), "differential");
	json_decref(manifest);
	EXPECT_EQ(rp_restore(path, "vda", restored, NULL, NULL, &err), RP_OK, "%s",
		  err.message);
	EXPECT_TRUE(data_same(restored, engine_twin(&m->e, fmt("disk%u", i))));
	EXPECT_OK(unlink(restored));
	return true;
}

void members_expect_all(const struct members *m)
{
	for (unsigned i = 0; i < MEMBERS; i++) {
		EXPECT_EQ(m->told[i], 1, "%u", i);
		EXPECT_EQ(m->values[i], RP_OK, "%s", m->messages[i]);
		EXPECT_TRUE(members_arrived(m, i), "%u", i);
	}
	engine_expect_idle(&m->e);
}
