/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_priv.h"
#include "conf/yaml_slip.h"

#include <yaml.h>

/*
 * Only the plain part of YAML is taken: maps, lists and scalars. Anchors, aliases and tags are refused:
 * nobody needs them here, and an alias is how a small file becomes a large tree.
 */
struct builder {
	struct conf_load *ld;
	const char *file;
	struct sv text;
	yaml_parser_t parser;
	bool failed;
};

static void parser_deinit(struct builder *b)
{
	yaml_parser_delete(&b->parser);
}

static void event_deinit(yaml_event_t *e)
{
	yaml_event_delete(e);
}

static struct conf_node mark_node(const struct builder *b, const yaml_mark_t *mark)
{
	return (struct conf_node){ .file = b->file,
		.line = (unsigned)mark->line + 1,
		.column = (unsigned)mark->column + 1 };
}

static void refuse(struct builder *b, const yaml_event_t *e, const char *text)
{
	struct conf_node at = mark_node(b, &e->start_mark);

	if (!b->failed)
		conf_error(b->ld, &at, "%s", text);
	b->failed = true;
}

static void say_syntax(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	const yaml_mark_t *mark = p->error == YAML_READER_ERROR ? &p->mark : &p->problem_mark;
	const struct conf_yaml_trouble trouble = { .text = b->text,
		.line = (unsigned)mark->line + 1,
		.column = (unsigned)mark->column + 1,
		.context_line = p->context ? (unsigned)p->context_mark.line + 1 : 0,
		.problem = p->problem ? p->problem : "it cannot be read",
		.context = p->context ? p->context : "" };
	char words[CONF_YAML_SLIP_MAX];
	struct conf_node at =
		mark_node(b, conf_yaml_slip(&trouble, words) ? &p->context_mark : mark);

	conf_error(b->ld, &at, "this is not YAML: %s", words);
	b->failed = true;
}

static bool next_event(struct builder *b, yaml_event_t *e)
{
	if (b->failed)
		return false;
	if (yaml_parser_parse(&b->parser, e))
		return true;
	*e = (yaml_event_t){ 0 };
	say_syntax(b);
	return false;
}

static bool plain_only(struct builder *b, const yaml_event_t *e)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (e->type == YAML_ALIAS_EVENT) {
		refuse(b,
			e,
			"a value that begins with * needs quotes: \"*@contoso.com\", \"*:587\" "
			"(YAML "
			"aliases, *name, are not used here)");
		return false;
	}
	if (e->type == YAML_SCALAR_EVENT) {
		anchor = e->data.scalar.anchor;
		tag = e->data.scalar.tag;
	} else if (e->type == YAML_SEQUENCE_START_EVENT) {
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
	} else if (e->type == YAML_MAPPING_START_EVENT) {
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
	}
	if (anchor)
		refuse(b,
			e,
			"a value that begins with & needs quotes around it (YAML anchors, &name, "
			"are not used here)");
	else if (tag)
		refuse(b,
			e,
			"a value that begins with ! needs quotes around it (YAML tags, !name, are "
			"not used here)");
	return !anchor && !tag;
}

static struct conf_node *make_node(struct builder *b, const yaml_event_t *e, unsigned depth)
{
	struct conf_node *n;

	if (!plain_only(b, e))
		return NULL;
	if (depth > CONF_DEPTH_MAX) {
		refuse(b, e, "the maps and lists are nested too deeply: nothing here needs that");
		return NULL;
	}
	if (++b->ld->node_count > CONF_NODES_MAX) {
		refuse(b,
			e,
			"the configuration has too many values: put mailboxes into a CSV file "
			"(mailboxes_from)");
		return NULL;
	}
	n = arena_alloc(&b->ld->nodes, sizeof(*n));
	*n = mark_node(b, &e->start_mark);
	return n;
}

static struct conf_node *build(struct builder *b, const yaml_event_t *e, unsigned depth);

/* The next child, or NULL at the end of the collection or after an error. */
static struct conf_node *build_next(struct builder *b, unsigned depth)
{
	CLEANUP(event_deinit) yaml_event_t e = { 0 };

	if (!next_event(b, &e) || e.type == YAML_SEQUENCE_END_EVENT ||
		e.type == YAML_MAPPING_END_EVENT)
		return NULL;
	return build(b, &e, depth);
}

/* The key's value is built by the caller: this only refuses keys that are no scalars. */
static bool key_ok(struct builder *b, const struct conf_node *key)
{
	if (key->kind == CONF_NODE_SCALAR)
		return true;
	conf_error(b->ld,
		key,
		"a key must be a word: put quotes around braces or brackets that are meant as "
		"text");
	b->failed = true;
	return false;
}

static void build_children(struct builder *b, struct conf_node *n, unsigned depth)
{
	struct conf_node **last = &n->first;
	struct conf_node *child = build_next(b, depth + 1);

	while (child) {
		if (n->kind == CONF_NODE_MAP) {
			if (!key_ok(b, child))
				return;
			child->value = build_next(b, depth + 1);
			if (!child->value)
				return;
		}
		*last = child;
		last = &child->next;
		child = build_next(b, depth + 1);
	}
}

static struct conf_node *build(struct builder *b, const yaml_event_t *e, unsigned depth)
{
	struct conf_node *n = make_node(b, e, depth);
	const char *foreign;

	if (!n)
		return NULL;
	if (e->type == YAML_SCALAR_EVENT) {
		n->kind = CONF_NODE_SCALAR;
		n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
		n->text = arena_sv(&b->ld->nodes,
			sv_make((const char *)e->data.scalar.value, e->data.scalar.length));
		foreign = n->quoted ? NULL : conf_yaml_foreign(n->text);
		if (foreign)
			refuse(b, e, foreign);
		return b->failed ? NULL : n;
	}
	n->kind = e->type == YAML_MAPPING_START_EVENT ? CONF_NODE_MAP : CONF_NODE_LIST;
	build_children(b, n, depth);
	return b->failed ? NULL : n;
}

/* Skips the start of the stream and of the document; then the one root; then nothing may follow. */
static struct conf_node *build_root(struct builder *b)
{
	struct conf_node *root = NULL;
	unsigned documents = 0;

	for (;;) {
		CLEANUP(event_deinit) yaml_event_t e = { 0 };

		if (!next_event(b, &e))
			return NULL;
		switch ((unsigned)e.type) {
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		case YAML_DOCUMENT_START_EVENT:
			if (documents++) {
				refuse(b,
					&e,
					"a second YAML document begins here (---): use one file "
					"for each, and include:");
				return NULL;
			}
			break;
		case YAML_STREAM_END_EVENT:
			return root;
		default:
			root = build(b, &e, 0);
			if (!root)
				return NULL;
			break;
		}
	}
}

static bool is_nothing(const struct conf_node *n)
{
	return !n || (n->kind == CONF_NODE_SCALAR && n->text.len == 0 && !n->quoted);
}

struct conf_node *conf_tree_read(struct conf_load *ld, const char *file, struct sv text)
{
	CLEANUP(parser_deinit) struct builder b = { .ld = ld, .file = file, .text = text };
	struct conf_node start = { .file = file, .line = 1, .column = 1 };
	struct conf_node *root;

	/* It fails for want of memory only. */
	if (!yaml_parser_initialize(&b.parser)) {
		conf_error(ld, &start, "there is no memory to read this file");
		return NULL;
	}
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	/* An empty text may have no pointer, but libyaml wants one. */
	yaml_parser_set_input_string(
		&b.parser, (const unsigned char *)(text.ptr ? text.ptr : ""), text.len);
	root = build_root(&b);
	if (b.failed)
		return NULL;
	if (is_nothing(root)) {
		root = arena_alloc(&ld->nodes, sizeof(*root));
		*root = start;
		root->kind = CONF_NODE_MAP;
	}
	if (root->kind != CONF_NODE_MAP) {
		conf_error(ld,
			root,
			"the file must be made of keys and values, like `hostname: "
			"relay.example.com`");
		return NULL;
	}
	return root;
}
