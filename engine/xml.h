/* SPDX-License-Identifier: MIT */
/*
 * xml.h - XML that may come from anybody, parsed into a tree
 */
#ifndef ENGINE_XML_H
#define ENGINE_XML_H

#include <libxml/tree.h>
#include <stddef.h>

/* Why a text was refused. */
struct xml_flaw {
	int line, column; /* from 1 */
	char reason[160]; /* may quote the text, so is not fit for a terminal */
};

/*
 * @text is UTF-8 whatever its declaration says: a string that came from Windows
 * may still call itself UTF-16. Refused are a text that is not well-formed, a
 * DOCTYPE, and what would take the parser too long. Nothing is fetched, opened or
 * printed; handlers the program has given libxml2 are neither called nor changed.
 * (Only when memory runs out does libxml2 2.9 itself tell the program's handler.)
 * For texts up to some megabytes. Thread-safe.
 *
 * Returns 0; -EINVAL and @ret_flaw; or -ENOMEM. @ret: xmlFreeDoc() or the end of
 * the scope.
 */
int xml_parse(const char *text, size_t len, xmlDoc **ret, struct xml_flaw *ret_flaw);

#define _cleanup_xml_ _cleanup_(xml_cleanup)
void xml_cleanup(xmlDoc **doc);

#define _cleanup_xml_text_ _cleanup_(xml_text_cleanup)
void xml_text_cleanup(xmlChar **text);

#endif
