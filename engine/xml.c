/* SPDX-License-Identifier: MIT */
/*
 * xml.c - XML that may come from anybody, parsed into a tree
 *
 * libxml2 without its dangerous half: no DTD, so no entities to multiply and
 * nothing external to fetch. Its limits on depth and on the length of names hold,
 * because XML_PARSE_HUGE is not given.
 */
#include "engine/xml.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "io/base.h"

#define ATTRIBUTES_MAX 1000 /* in one tag */
#define NAMESPACES_MAX 100  /* in one text */

#if LIBXML_VERSION >= 21400
#define SONAME "libxml2.so.16"
#else
#define SONAME "libxml2.so.2"
#endif

struct xml_library xml;

/* "" once it is loaded. */
static char not_loaded[sizeof(((struct xml_flaw *)0)->reason)];

static void *look_up(void *library, const char *name)
{
	void *symbol = library ? dlsym(library, name) : NULL;

	if (!symbol && !not_loaded[0])
		snprintf(not_loaded, sizeof(not_loaded), "%s", dlerror());
	return symbol;
}

/* It stays: what it has set up for the program cannot be taken back. */
static void load(void)
{
	void *library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);

#define LOOK_UP(name) xml.name = (typeof(xml.name))look_up(library, "xml" #name);
	XML_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
	xml.free = look_up(library, "xmlFree");
	/* libxml2 asks for it where several threads may be the first. */
	if (!not_loaded[0])
		xml.InitParser();
}

void xml_cleanup(xmlDoc **doc)
{
	if (*doc)
		xml.FreeDoc(*doc);
}

void xml_text_cleanup(xmlChar **text)
{
	if (*text)
		(*xml.free)(*text);
}

/* What one run of the parser says besides the tree. */
struct verdict {
	struct xml_flaw flaw; /* reason is "" if there is none */
	bool no_memory;
};

/* The first flaw counts; what libxml2 finds later only follows from it. */
static void add_flaw(struct xml_flaw *flaw, int line, int column, const char *reason)
{
	if (flaw->reason[0])
		return;
	flaw->line = line;
	flaw->column = column;
	snprintf(flaw->reason, sizeof(flaw->reason), "%.*s", (int)strcspn(reason, "\n"),
		 reason);
}

#if LIBXML_VERSION >= 21200
static void on_error(void *context, const xmlError *error)
#else
static void on_error(void *context, xmlError *error)
#endif
{
	xmlParserCtxt *parser = context;
	struct verdict *v = parser->_private;

	if (error->code == XML_ERR_NO_MEMORY)
		v->no_memory = true;
	if (error->level >= XML_ERR_ERROR)
		add_flaw(&v->flaw, error->line, error->int2,
			 error->message ? error->message : "not well-formed");
}

/* Stops before the first declaration of the DTD is read. */
static void on_doctype(void *context, const xmlChar *name, const xmlChar *public_id,
		       const xmlChar *system_id)
{
	xmlParserCtxt *parser = context;
	struct verdict *v = parser->_private;

	(void)name, (void)public_id, (void)system_id;
	add_flaw(&v->flaw, xml.SAX2GetLineNumber(parser), xml.SAX2GetColumnNumber(parser),
		 "a DOCTYPE is not accepted");
	xml.StopParser(parser);
}

/*
 * libxml2 compares each attribute of a tag with all others, and looks a prefix up
 * among all namespaces declared around it: texts of a megabyte can take it minutes.
 * So both are counted before. No tag begins inside another, every attribute has its
 * = sign, and what the rest of the text has of either does not come near the limits.
 */
static void look_for_crowds(const char *text, size_t len, struct xml_flaw *flaw)
{
	unsigned attributes = 0, namespaces = 0;
	int line = 1, column = 1;

	for (size_t i = 0; i < len && !flaw->reason[0]; i++, column++) {
		if (text[i] == '\n') {
			line++;
			column = 0;
		} else if (text[i] == '<')
			attributes = 0;
		else if (text[i] == '=' && ++attributes > ATTRIBUTES_MAX)
			add_flaw(flaw, line, column, "a tag has too many attributes");
		else if (len - i > 5 && !memcmp(text + i, "xmlns", 5) &&
			 ++namespaces > NAMESPACES_MAX)
			add_flaw(flaw, line, column, "there are too many namespaces");
	}
}

static xmlDoc *run_parser(const char *text, size_t len, struct verdict *v)
{
	const int flags = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
			  XML_PARSE_NOCDATA | XML_PARSE_IGNORE_ENC;
	xmlParserCtxt *parser;
	xmlDoc *doc;

	parser = xml.NewParserCtxt();
	if (!parser)
		return NULL;
	parser->_private = v;
	parser->sax->serror = on_error;
	parser->sax->internalSubset = on_doctype;
	doc = xml.CtxtReadMemory(parser, text, (int)len, NULL, NULL, flags);
	xml.FreeParserCtxt(parser);
	return doc;
}

int xml_parse(const char *text, size_t len, xmlDoc **ret, struct xml_flaw *ret_flaw)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	_cleanup_xml_ xmlDoc *doc = NULL;
	struct verdict v = {0};

	pthread_once(&once, load);
	if (not_loaded[0]) {
		snprintf(ret_flaw->reason, sizeof(ret_flaw->reason), "%s", not_loaded);
		return -ENOSYS;
	}
	look_for_crowds(text, len, &v.flaw);
	if (!v.flaw.reason[0])
		doc = run_parser(text, len, &v);
	/* Neither a tree nor a flaw: it did not even get a parser. */
	if (v.no_memory || (!doc && !v.flaw.reason[0]))
		return -ENOMEM;
	if (v.flaw.reason[0]) {
		*ret_flaw = v.flaw;
		return -EINVAL;
	}
	*ret = take_ptr(doc);
	return 0;
}
