/* SPDX-License-Identifier: MIT */
/*
 * layout_test.c - where image formats put things, and what they have no room for
 */
#include "data.h"
#include "engine/qcow2.h"
#include "engine/vhdx.h"
#include "harness.h"
#include "pattern.h"

TEST(qcow2_of_10_gib_with_2_of_data)
{
	struct qcow2_layout l = {.size = 10 * GIB,
				 .cluster_bits = 16,
				 .l2_count = 20,
				 .data_count = 32768};

	ASSERT_OK(qcow2_layout(&l));
	EXPECT_EQ(l.l1_entries, 20u);
	EXPECT_EQ(l.reftable_at, 1u);
	EXPECT_EQ(l.reftable_count, 1u);
	EXPECT_EQ(l.refblocks_at, 2u);
	EXPECT_EQ(l.refblocks_count, 2u);
	EXPECT_EQ(l.l1_at, 4u);
	EXPECT_EQ(l.l2_at, 5u);
	EXPECT_EQ(l.data_at, 25u);
	EXPECT_EQ(l.end, 25u + 32768);
}

TEST(refcounts_count_themselves)
{
	/* 32768 clusters for each block of refcounts: one more, and there are two. */
	struct qcow2_layout fits = {.size = GIB, .cluster_bits = 16, .data_count = 32764};
	struct qcow2_layout more = {.size = GIB, .cluster_bits = 16, .data_count = 32765};

	ASSERT_OK(qcow2_layout(&fits));
	EXPECT_EQ(fits.refblocks_count, 1u);
	EXPECT_EQ(fits.end, 32768u);
	ASSERT_OK(qcow2_layout(&more));
	EXPECT_EQ(more.refblocks_count, 2u);
	EXPECT_EQ(more.end, 32770u);
}

TEST(qcow2_of_every_size_counts_itself_exactly)
{
	uint64_t seed = test_seed();

	for (unsigned i = 0; i < 20000; i++) {
		unsigned bits = 16 + data_random(&seed) % 6;
		struct qcow2_layout l = {
			.size = data_random(&seed) >> data_random(&seed) % 40 >> 20,
			.cluster_bits = bits,
			.data_count = data_random(&seed) >> 30 >> data_random(&seed) % 34,
		};
		uint64_t per_block = UINT64_C(1) << (bits - 1), per_table = UINT64_C(1)
									    << (bits - 3);

		if (qcow2_layout(&l) < 0)
			continue;
		ASSERT_GE(l.refblocks_count * per_block, l.end);
		ASSERT_GE(l.reftable_count * per_table, l.refblocks_count);
		/* None that is not needed, but for those that they need themselves. */
		ASSERT_LT((l.refblocks_count - 1) * per_block, l.end);
		ASSERT_LT((l.reftable_count - 1) * per_table, l.refblocks_count);
	}
}

TEST(qcow2_that_qemu_would_refuse)
{
	struct qcow2_layout l1 = {.size = UINT64_C(4) << 60, .cluster_bits = 16};
	struct qcow2_layout large = {.size = UINT64_C(2) << 60, .cluster_bits = 21};
	struct qcow2_layout refcounts = {
		.size = 8 * TIB, .cluster_bits = 16, .data_count = UINT64_C(1) << 37};
	struct qcow2_layout offsets = {
		.size = 8 * TIB, .cluster_bits = 16, .data_count = UINT64_MAX >> 1};

	EXPECT_EQ(qcow2_layout(&l1), -EOPNOTSUPP);
	EXPECT_OK(qcow2_layout(&large));
	EXPECT_EQ(qcow2_layout(&refcounts), -EOPNOTSUPP);
	EXPECT_EQ(qcow2_layout(&offsets), -EOPNOTSUPP);
}

TEST(the_bitmap_of_a_disk_has_64_mib_at_most)
{
	EXPECT_EQ(qcow2_granularity_bits(0), 16u);
	EXPECT_EQ(qcow2_granularity_bits(32 * TIB - 1), 16u);
	EXPECT_EQ(qcow2_granularity_bits(64 * TIB), 18u);
}

TEST(vhdx_tables_have_room_for_bitmaps_of_sectors)
{
	struct vhdx_layout one = {.size = 512, .block_size = MIB, .payload_count = 1};
	struct vhdx_layout chunk = {.size = 4 * GIB, .block_size = MIB};
	struct vhdx_layout more = {.size = 4 * GIB + 512, .block_size = MIB};
	struct vhdx_layout parent = {
		.size = 4 * GIB + 512, .block_size = MIB, .has_parent = true};
	struct vhdx_layout most = {.size = 64 * TIB, .block_size = 64 * MIB};
	struct vhdx_layout over = {.size = 64 * TIB + 512, .block_size = 64 * MIB};

	ASSERT_OK(vhdx_layout(&one));
	EXPECT_EQ(one.bat_entries, 1u);
	EXPECT_EQ(one.payload_at, 4 * MIB);
	EXPECT_EQ(one.end, 5 * MIB);
	ASSERT_OK(vhdx_layout(&chunk));
	EXPECT_EQ(chunk.ratio, 4096u);
	EXPECT_EQ(chunk.bat_entries, 4096u);
	ASSERT_OK(vhdx_layout(&more));
	EXPECT_EQ(more.bat_entries, 4098u);
	ASSERT_OK(vhdx_layout(&parent));
	EXPECT_EQ(parent.bat_entries, 8194u);
	EXPECT_EQ(parent.payload_at, 6 * MIB);
	ASSERT_OK(vhdx_layout(&most));
	EXPECT_EQ(most.bat_size, 9 * MIB);
	EXPECT_EQ(vhdx_layout(&over), -EOPNOTSUPP);
}

TEST(crc32c_is_castagnolis)
{
	EXPECT_EQ(vhdx_crc32c("123456789", 9), 0xe3069283u);
	EXPECT_EQ(vhdx_crc32c("", 0), 0u);
}

TEST(grains_are_powers_of_two_that_the_format_has)
{
	uint64_t grain;

	ASSERT_OK(format_grain(&format_qcow2, 0, 10 * TIB, &grain));
	EXPECT_EQ(grain, 64 * KIB);
	ASSERT_OK(format_grain(&format_vhdx, 0, 10 * GIB, &grain));
	EXPECT_EQ(grain, MIB);
	ASSERT_OK(format_grain(&format_vhdx, 0, 64 * TIB, &grain));
	EXPECT_EQ(grain, 64 * MIB);
	ASSERT_OK(format_grain(&format_vhdx, 256 * MIB, GIB, &grain));
	EXPECT_EQ(format_grain(&format_vhdx, 512 * MIB, GIB, &grain), -EINVAL);
	EXPECT_EQ(format_grain(&format_qcow2, 32 * KIB, GIB, &grain), -EINVAL);
	EXPECT_EQ(format_grain(&format_qcow2, 96 * KIB, GIB, &grain), -EINVAL);
	EXPECT_EQ(format_grain(&format_qcow2, 4 * MIB, GIB, &grain), -EINVAL);
	EXPECT_EQ(format_find("raw"), NULL);
	EXPECT_EQ(format_find("vhdx"), &format_vhdx);
}

TEST_MAIN
