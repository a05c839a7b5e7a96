/* SPDX-License-Identifier: MIT */
/*
 * library.c - the library itself: its version, and memory it hands out
 */
#include <refpoint.h>
#include <stdlib.h>

const char *rp_version(void)
{
	return REFPOINT_VERSION;
}

void rp_free(char *string)
{
	free(string);
}
