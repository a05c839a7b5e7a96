/* SPDX-License-Identifier: MIT */
/*
 * xml.h - XML that may come from anybody, parsed into a tree
 */
#ifndef ENGINE_XML_H
#define ENGINE_XML_H

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stddef.h>

/*
 * What is used of libxml2. It is loaded by the first text that is parsed: most programs
 * never see one, and with it come ICU and the C++ library, which take longer to load than
 * a small export takes.
 */
#define XML_FUNCTIONS(F)       \
	F(CtxtReadMemory)      \
	F(DocGetRootElement)   \
	F(FreeDoc)             \
	F(FreeParserCtxt)      \
	F(GetLineNo)           \
	F(GetProp)             \
	F(HasProp)             \
	F(InitParser)          \
	F(IsBlankNode)         \
	F(NewParserCtxt)       \
	F(NodeGetContent)      \
	F(SAX2GetColumnNumber) \
	F(SAX2GetLineNumber)   \
	F(StopParser)          \
	F(StrEqual)            \
	F(Strcasecmp)          \
	F(Strncmp)

struct xml_library {
#define XML_MEMBER(name) typeof(xml##name) *name;
	XML_FUNCTIONS(XML_MEMBER)
#undef XML_MEMBER
	xmlFreeFunc *free; /* the program may have set another one */
};

/* Only after xml_parse() has returned 0. */
extern struct xml_library xml;

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
 * Returns 0; -EINVAL and @ret_flaw; -ENOSYS if there is no libxml2, @ret_flaw says why;
 * -ENOMEM; or -EMFILE or -ENFILE if it could not be loaded for that. @ret: the end of the
 * scope.
 */
int xml_parse(const char *text, size_t len, xmlDoc **ret, struct xml_flaw *ret_flaw);

#define _cleanup_xml_ _cleanup_(xml_cleanup)
void xml_cleanup(xmlDoc **doc);

#define _cleanup_xml_text_ _cleanup_(xml_text_cleanup)
void xml_text_cleanup(xmlChar **text);

#endif
