/* SPDX-License-Identifier: MIT */
/*
 * instant_test.c - a reference point of a running machine is one instant of its disk: no
 * write that was done is missing, none from after is there, and none is there without
 * those it came after
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

#define WRITERS 3
#define BLOCKS	256 /* of each writer, over and over again */
#define BLOCK	4096
#define POINTS	8

/* What a writer writes: its number, how many it has written, what it has seen of the
 * others, and so on to the end, so that half a block shows. */
struct block {
	uint64_t writer, number;
	uint64_t seen[WRITERS];
	uint64_t rest[BLOCK / 8 - 2 - WRITERS];
};

struct machine {
	const char *path;
	bool direct;
	bool stop;
	uint64_t begun[WRITERS], done[WRITERS]; /* number of the last write */
};

struct writer {
	struct machine *machine;
	unsigned index;
	pthread_t thread;
};

FIXTURE(instant)
{
	struct engine e;
	struct machine machine;
	char disk[PATH_MAX];
	struct writer writers[WRITERS];
	unsigned started;
};

FIXTURE_VARIANT(instant)
{
	const char *type;
	bool direct, nocow;
};

FIXTURE_VARIANT_ADD(instant, xfs){.type = "xfs"};
FIXTURE_VARIANT_ADD(instant, xfs_direct){.type = "xfs", .direct = true};
FIXTURE_VARIANT_ADD(instant, btrfs){.type = "btrfs"};
FIXTURE_VARIANT_ADD(instant, btrfs_direct){.type = "btrfs", .direct = true};
FIXTURE_VARIANT_ADD(instant, btrfs_nocow){.type = "btrfs", .direct = true, .nocow = true};

static uint64_t load(const uint64_t *number)
{
	return __atomic_load_n(number, __ATOMIC_SEQ_CST);
}

static void store(uint64_t *number, uint64_t value)
{
	__atomic_store_n(number, value, __ATOMIC_SEQ_CST);
}

static uint64_t offset_of(unsigned writer, uint64_t number)
{
	return (writer * BLOCKS + number % BLOCKS) * BLOCK;
}

static void fill_block(struct block *b, unsigned writer, uint64_t number)
{
	b->writer = writer;
	b->number = number;
	for (size_t i = 0; i < ARRAY_SIZE(b->rest); i++)
		b->rest[i] = number * WRITERS + writer;
}

static void *write_on(void *context)
{
	struct writer *w = context;
	struct machine *m = w->machine;
	struct block *b = aligned_alloc(BLOCK, BLOCK);
	int fd = open(m->path, O_RDWR | O_CLOEXEC | (m->direct ? O_DIRECT : 0));

	ASSERT_NE(b, NULL);
	ASSERT_GE(fd, 0, "%s", strerror(errno));
	for (uint64_t number = 1; !__atomic_load_n(&m->stop, __ATOMIC_RELAXED);
	     number++) {
		fill_block(b, w->index, number);
		for (unsigned i = 0; i < WRITERS; i++)
			b->seen[i] = load(&m->done[i]);
		store(&m->begun[w->index], number);
		ASSERT_EQ(pwrite(fd, b, BLOCK, (off_t)offset_of(w->index, number)), BLOCK,
			  "%s", strerror(errno));
		store(&m->done[w->index], number);
	}
	close(fd);
	free(b);
	return NULL;
}

FIXTURE_SETUP(instant)
{
	const char *const ids[] = {"vda"};

	engine_open(&self->e, variant->type, 0, NULL, NULL);
	snprintf(self->disk, sizeof(self->disk), "%s", engine_disk(&self->e, "vda"));
	if (variant->nocow)
		set_inode_flag(fmt("%s/disks", self->e.fs.mnt), FS_NOCOW_FL);
	close(data_create(self->disk, WRITERS * BLOCKS * BLOCK));
	engine_add(&self->e, ids, 1);
	self->machine = (struct machine){.path = self->disk, .direct = variant->direct};
	for (unsigned i = 0; i < WRITERS; i++) {
		struct writer *w = &self->writers[i];

		*w = (struct writer){.machine = &self->machine, .index = i};
		ASSERT_OK(pthread_create(&w->thread, NULL, write_on, w));
		self->started++;
	}
}

static void stop(struct instant_fixture *self)
{
	__atomic_store_n(&self->machine.stop, true, __ATOMIC_RELAXED);
	while (self->started)
		pthread_join(self->writers[--self->started].thread, NULL);
}

FIXTURE_TEARDOWN(instant)
{
	stop(self);
	engine_close(&self->e);
}

struct taken {
	char file[PATH_MAX];
	uint64_t before[WRITERS]; /* done when it was asked for */
	uint64_t after[WRITERS];  /* begun when it was there */
};

static void take(struct instant_fixture *self, struct taken *t)
{
	for (unsigned i = 0; i < WRITERS; i++)
		t->before[i] = load(&self->machine.done[i]);
	json_decref(engine_take(&self->e, NULL));
	for (unsigned i = 0; i < WRITERS; i++)
		t->after[i] = load(&self->machine.begun[i]);
	snprintf(t->file, sizeof(t->file), "%s", engine_clone(&self->e, "vda"));
}

/* The last write of @writer; its region holds just what was written up to then. */
static uint64_t last_write(const struct block *blocks, unsigned writer)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < BLOCKS; i++)
		last = max_u64(last, blocks[writer * BLOCKS + i].number);
	for (unsigned i = 0; i < BLOCKS; i++) {
		uint64_t number = last < i ? 0 : last - (last - i) % BLOCKS;
		const struct block *b = &blocks[writer * BLOCKS + i];
		struct block want = {.number = 0};

		if (number) {
			fill_block(&want, writer, number);
			memcpy(want.seen, b->seen, sizeof(want.seen));
		}
		ASSERT_EQ(memcmp(b, &want, BLOCK), 0,
			  "writer %u, last %llu: block %u is of %llu, not %llu", writer,
			  (unsigned long long)last, i, (unsigned long long)b->number,
			  (unsigned long long)number);
	}
	return last;
}

static void expect_instant(const struct taken *t)
{
	const size_t size = WRITERS * BLOCKS * BLOCK;
	struct block *blocks = malloc(size);
	int fd = open(t->file, O_RDONLY | O_CLOEXEC);
	uint64_t last[WRITERS];

	ASSERT_GE(fd, 0);
	ASSERT_EQ(read(fd, blocks, size), size);
	close(fd);
	for (unsigned i = 0; i < WRITERS; i++) {
		last[i] = last_write(blocks, i);
		EXPECT_GE(last[i], t->before[i], "writer %u lost a write", i);
		EXPECT_LE(last[i], t->after[i], "writer %u had not written that", i);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		const struct block *b = &blocks[offset_of(i, last[i]) / BLOCK];

		for (unsigned k = 0; k < WRITERS && last[i]; k++)
			EXPECT_GE(last[k], b->seen[k], "writer %u had seen it of %u", i,
				  k);
	}
	free(blocks);
}

/* Each of them has written so many, however long that takes. */
static void wait_for_writes(const struct instant_fixture *self, uint64_t count)
{
	for (unsigned i = 0; i < WRITERS; i++)
		while (load(&self->machine.done[i]) < count)
			usleep(1000);
}

TEST_F(instant, of_a_disk_that_is_written_to)
{
	struct taken points[POINTS];

	for (unsigned i = 0; i < POINTS; i++) {
		/* Each at another place of the writers' way, the first at once. */
		usleep(i * 15000);
		wait_for_writes(self, i * 8);
		take(self, &points[i]);
	}
	stop(self);
	for (unsigned i = 0; i < POINTS; i++)
		expect_instant(&points[i]);
}

TEST_MAIN
