/* SPDX-License-Identifier: MIT */
/*
 * suggest.c - edit distance between a mistyped word and the known ones
 */
#include "cli/suggest.h"

#include <stdbool.h>
#include <string.h>

#define WORD_MAX 32

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

/* Letters replaced, added, dropped, or swapped with their neighbour. */
static unsigned edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned d[WORD_MAX + 1][WORD_MAX + 1];

	for (size_t i = 0; i <= a_len; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= b_len; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		for (size_t j = 1; j <= b_len; j++) {
			bool same = a[i - 1] == b[j - 1];

			d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1,
				       d[i - 1][j - 1] + !same);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				d[i][j] = min3(d[i][j], d[i - 2][j - 2] + 1, d[i][j]);
		}
	}
	return d[a_len][b_len];
}

void suggest(struct suggestion *s, const char *known)
{
	size_t word_len = strlen(s->word), known_len = strlen(known);
	size_t longer = word_len > known_len ? word_len : known_len;
	unsigned distance;

	if (word_len == 0 || longer > WORD_MAX)
		return;
	if (strncmp(known, s->word, word_len) == 0)
		distance = 0;
	else
		distance = edit_distance(s->word, word_len, known, known_len);
	/* More than every third letter wrong is another word. */
	if (distance * 3 > longer)
		return;
	if (!s->match || distance < s->distance) {
		s->match = known;
		s->distance = distance;
	}
}
