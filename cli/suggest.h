/* SPDX-License-Identifier: MIT */
/*
 * suggest.h - which known word a mistyped one may have meant
 */
#ifndef CLI_SUGGEST_H
#define CLI_SUGGEST_H

struct suggestion {
	const char *word;  /* as typed */
	const char *match; /* the most similar known word so far, NULL = none */
	unsigned distance; /* of match */
};

/* Offers one known word; the first of equally similar ones stays. */
void suggest(struct suggestion *s, const char *known);

#endif
