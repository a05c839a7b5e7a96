/* SPDX-License-Identifier: MIT */
/*
 * moving.c - real disks, moved through a backend that follows a script
 */
#include "moving.h"

#include <fcntl.h>
#include <stdio.h>

#include "data.h"
#include "harness.h"

static struct moving *moving; /* whose queue it is; there is one in a test */

/* ------------------------------------------------------------------- the witness */

/* A sync covers only what was delivered before it is queued. */
static bool all_written(const struct fakeio *fake, const struct io_file *file)
{
	for (size_t i = 0; i < fake->count; i++) {
		const struct fakeio_piece *p = &fake->pieces[i];

		if (p->op == IO_WRITE && p->file == file && !p->done)
			return false;
	}
	return true;
}

static int witness_queue(struct io_queue *q, struct io_req *req)
{
	if (req->moved == 0) { /* else the rest of one that was cut */
		moving->begun++;
		if (moving->begun == moving->refuses) {
			moving->over = true;
			return moving->refuses_with;
		}
		moving->begun_late += moving->over;
		if (req->op == IO_SYNC && !all_written(moving->fake, req->file))
			moving->begun_early = true;
	}
	return fakeio_backend.queue(q, req);
}

static bool has_failed(const struct fakeio_piece *p)
{
	if (!p->done || p->result == -EINTR || p->result == -EAGAIN)
		return false;
	return p->result < 0 || (p->result == 0 && p->len);
}

/* Among what has come in since the last time. */
static void look_for_failures(struct moving *m)
{
	const struct fakeio *fake = m->fake;

	for (size_t i = m->looked_at; i < fake->count; i++)
		m->over |= has_failed(&fake->pieces[i]);
	while (m->looked_at < fake->count && fake->pieces[m->looked_at].done)
		m->looked_at++;
}

static int witness_reap(struct io_queue *q, unsigned min, int timeout_ms)
{
	int r;

	if (moving->at_reap)
		moving->at_reap(moving);
	r = fakeio_backend.reap(q, min, timeout_ms);
	if (r < 0 && r != -EINTR && r != -ETIME)
		moving->over = true;
	look_for_failures(moving);
	return r;
}

static int witness_open(struct io_queue *q)
{
	return fakeio_backend.open(q);
}

static int witness_kick(struct io_queue *q)
{
	int r = fakeio_backend.kick(q);

	if (r < 0)
		moving->over = true;
	return r;
}

static void witness_close(struct io_queue *q)
{
	fakeio_backend.close(q);
}

static const struct io_backend witness = {
	.name = "witness",
	.block = MIB,
	.open = witness_open,
	.queue = witness_queue,
	.kick = witness_kick,
	.reap = witness_reap,
	.close = witness_close,
};

/* ---------------------------------------------------------------------- the scene */

static int note_progress(void *context, const struct rp_progress *progress)
{
	struct moving *m = context;

	EXPECT_STREQ(progress->phase, m->only_read ? "verifying" : "copying");
	EXPECT_GE(progress->bytes_done, m->bytes_done, "progress goes back");
	m->bytes_done = progress->bytes_done;
	if (++m->told != m->cancels_at)
		return 0;
	m->over = true;
	return 1;
}

void moving_open(struct moving *m, uint64_t pool_bytes, unsigned depth)
{
	*m = (struct moving){.pool_bytes = pool_bytes,
			     .user = {.size = sizeof(m->user),
				      .context = m,
				      .progress = note_progress}};
	moving = m;
	ASSERT_OK(io_pool_open(&m->pool, pool_bytes));
	ASSERT_OK(io_queue_open_backend(&m->q, &witness, depth, m->pool));
	m->fake = m->q->state;
	watch_init(&m->w, &m->user, 0);
}

void moving_close(struct moving *m)
{
	for (size_t i = 0; i < m->count; i++) {
		io_file_close(&m->s[i].src);
		io_file_close(&m->s[i].dst);
		if (m->s[i].digest != STREAM_NO_DIGEST)
			close(m->s[i].leaves.fd);
	}
	if (m->q && io_queue_in_flight(m->q))
		return; /* the failure is noted; closing would hide it with another */
	io_queue_close(m->q);
	io_pool_close(m->pool); /* aborts if a buffer is missing */
}

int moving_disk(struct moving *m, uint64_t size)
{
	size_t i = m->count++;

	ASSERT_LT(i, MOVING_MOST);
	snprintf(m->id[i], sizeof(m->id[i]), "d%zu", i);
	snprintf(m->src[i], sizeof(m->src[i]), "%s/src%zu", test_dir(), i);
	snprintf(m->dst[i], sizeof(m->dst[i]), "%s/dst%zu", test_dir(), i);
	m->s[i] = (struct stream){
		.disk = m->id[i],
		.src_path = m->src[i],
		.dst_path = m->dst[i],
		.src = IO_FILE_NONE,
		.dst = IO_FILE_NONE,
	};
	return data_create(m->src[i], size);
}

static void go_buffered(struct io_file *file)
{
	if (io_file_is_direct(file))
		close(take_fd(&file->direct_fd));
	file->align = 1;
	file->buffered = "the test wants it";
}

void moving_begin(struct moving *m, bool direct)
{
	struct watch unseen = {0};

	for (size_t i = 0; i < m->count; i++) {
		struct stream *s = &m->s[i];

		ASSERT_OK(io_file_open_read(AT_FDCWD, m->src[i], &s->src));
		ASSERT_EQ(fsync(s->src.fd), 0);
		if (!direct)
			go_buffered(&s->src);
		ASSERT_OK(stream_measure(s, &unseen));
		m->w.progress.bytes_total += s->data_bytes;
		if (m->only_read)
			continue;
		ASSERT_OK(io_file_create(AT_FDCWD, m->dst[i], -1, &s->dst));
		ASSERT_OK(io_file_set_size(&s->dst, s->src.size));
		if (!direct)
			go_buffered(&s->dst);
	}
}

/* A file that is open for direct I/O refuses pieces of any length. */
static void allow_cuts(const struct io_file *file)
{
	if (io_file_is_direct(file))
		ASSERT_EQ(fcntl(file->direct_fd, F_SETFL, 0), 0);
}

void moving_allow_cuts(struct moving *m)
{
	for (size_t i = 0; i < m->count; i++) {
		allow_cuts(&m->s[i].src);
		if (!m->only_read)
			allow_cuts(&m->s[i].dst);
	}
}

void moving_digest(struct moving *m, size_t i, enum stream_digest what)
{
	struct stream *s = &m->s[i];
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s.digest", m->src[i]);
	s->leaves.size = s->src.size;
	s->leaves.fd = data_create(path, digest_file_size(s->src.size));
	s->digest = what;
}

uint32_t moving_run(struct moving *m)
{
	void *bufs[1024];
	unsigned count = 0;
	uint32_t rc;

	rc = move_streams(m->s, m->count, m->q, m->pool, 0, &m->w, &m->err);
	ASSERT_EQ(io_queue_in_flight(m->q), 0u);
	while (count < ARRAY_SIZE(bufs) && (bufs[count] = io_pool_get(m->pool, MIB, 0)))
		count++;
	EXPECT_EQ(count, m->pool_bytes / MIB, "buffers that are back");
	while (count)
		io_pool_put(m->pool, bufs[--count], MIB);
	return rc;
}

unsigned moving_pieces(const struct moving *m, unsigned ops, int i)
{
	unsigned count = 0;

	for (size_t at = 0; at < m->fake->count; at++) {
		const struct fakeio_piece *p = &m->fake->pieces[at];

		if (!(ops & 1u << p->op))
			continue;
		count += i < 0 || p->file == &m->s[i].src || p->file == &m->s[i].dst;
	}
	return count;
}

void moving_expect_copies(const struct moving *m, uint32_t rc)
{
	ASSERT_EQ(rc, RP_OK, "%s", m->err.message);
	EXPECT_FALSE(m->begun_early, "a sync before the last write was in");
	for (size_t i = 0; i < m->count; i++) {
		EXPECT_TRUE(data_same(m->src[i], m->dst[i]));
		EXPECT_TRUE(data_same_holes(m->src[i], m->dst[i]));
		EXPECT_EQ(moving_pieces(m, FAKEIO_SYNC, (int)i), 1u, "disk %zu", i);
	}
}

void moving_expect_error(const struct moving *m, uint32_t rc, uint32_t code, int error,
			 const char *step, size_t disk, uint64_t offset)
{
	EXPECT_EQ(rc, code, "%s", m->err.message);
	EXPECT_EQ(m->err.code, code);
	EXPECT_EQ(m->err.os_error, error);
	EXPECT_STREQ(m->err.step, step);
	EXPECT_STREQ(m->err.disk, disk < m->count ? m->id[disk] : "");
	EXPECT_EQ(m->err.offset, offset);
	EXPECT_EQ(m->begun_late, 0u, "begun after it was over");
	EXPECT_NE(m->err.message[0], '\0');
}
