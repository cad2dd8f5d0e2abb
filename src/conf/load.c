/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"
#include "io/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* Files and includes, and the order in which sections are read: names before what refers to them. */

static void load_init(struct conf_load *ld, bool on_disk)
{
	*ld = (struct conf_load){ .on_disk = on_disk,
		.conf = xcalloc(1, sizeof(*ld->conf)),
		.found_arena = xcalloc(1, sizeof(*ld->found_arena)) };
	ld->conf->refs = 1;
	conf_general_defaults(&ld->conf->general);
}

/* `path` must live in the snapshot's arena. */
static struct conf_load_file *add_file(struct conf_load *ld, const char *path)
{
	const struct conf_node at = { .file = path, .line = 1, .column = 1 };

	must(ld->file_count < CONF_FILES_MAX);
	ld->files[ld->file_count++].path = path;
	conf_outside_keep(ld, CONF_OUTSIDE_FILE, sv_from(path), &at);
	return &ld->files[ld->file_count - 1];
}

/* The file is not to blame, nor is whoever wrote its name. */
static bool may_pass(int rc)
{
	return rc > RC_PARSE && rc != -ENOENT && rc != -ENOTDIR && rc != -EISDIR && rc != -ELOOP &&
	       rc != -ENAMETOOLONG;
}

/* The whole of a regular file; a finding at `at` otherwise. A FIFO or device could block for ever. */
static bool read_whole(struct conf_load *ld, const struct conf_node *at, const char *path,
	struct buf *out, struct stat *st)
{
	struct err err = { 0 };
	int rc = io_fs_stat(path, st);

	if (rc != 0) {
		ld->passing |= may_pass(rc);
		conf_error(ld,
			at,
			"cannot open %s: %s: correct the path, or its permissions",
			path,
			rc_text(rc));
		return false;
	}
	if (!S_ISREG(st->st_mode)) {
		conf_error(ld, at, "%s is not a file: name one", path);
		return false;
	}
	if (io_file_read(path, out->max, out, &err) == 0)
		return true;
	if (err.code == RC_LIMIT)
		conf_error(ld, at, "%s is larger than %zu MB: split it", path, out->max >> 20);
	else
		conf_error(ld, at, "%s: correct the path, or its permissions", err.text);
	ld->passing |= may_pass(err.code);
	return false;
}

/* A path in a file is taken from that file's folder. */
static const char *resolve(struct conf_load *ld, const char *from, struct sv path)
{
	ptrdiff_t slash = sv_rfind_char(sv_from(from), '/');
	CLEANUP(buf_deinitp) struct buf full = BUF_INIT(PATH_MAX);

	if (path.ptr[0] != '/' && slash >= 0 &&
		buf_append(&full, sv_head(sv_from(from), (size_t)slash + 1)) != 0)
		return NULL;
	if (buf_append(&full, path) != 0)
		return NULL;
	return arena_str(&ld->conf->arena, buf_sv(&full));
}

/* The file that includes, and how deep it stands itself. */
struct chain {
	const struct conf_load_file *file;
	unsigned depth;
};

static void load_file(
	struct conf_load *ld, const struct conf_node *at, const char *path, const struct chain *up);

static void load_include(struct conf_load *ld, const struct conf_node *at, const struct chain *here)
{
	const char *path;

	if (!conf_is_text(ld, at))
		return;
	if (!ld->on_disk) {
		conf_error(ld, at, "include: is not possible here: put everything into one text");
		return;
	}
	path = at->text.len ? resolve(ld, at->file, at->text) : NULL;
	if (!path)
		conf_error(ld, at, "include: must be the path of a file");
	else if (here->depth >= CONF_INCLUDE_DEPTH_MAX)
		conf_error(ld,
			at,
			"include: files include each other more than %d deep: name this one in an "
			"outer file",
			CONF_INCLUDE_DEPTH_MAX);
	else
		load_file(ld, at, path, here);
}

static void load_includes(struct conf_load *ld, const struct chain *here)
{
	for (const struct conf_node *key = here->file->root->first; key; key = key->next) {
		if (!sv_eq(key->text, SV("include")))
			continue;
		if (key->value->kind == CONF_NODE_SCALAR)
			load_include(ld, key->value, here);
		else if (conf_is_list(ld, key->value))
			for (const struct conf_node *n = key->value->first; n; n = n->next)
				load_include(ld, n, here);
	}
}

static bool is_again(struct conf_load *ld, const struct conf_node *at, const struct stat *st)
{
	struct stat now;

	for (size_t i = 0; i < ld->file_count; i++) {
		const struct conf_load_file *f = &ld->files[i];

		if (f->device != st->st_dev || f->inode != st->st_ino)
			continue;
		/* An inode's number is given again: an editor may have replaced the other file since it was read. */
		if (io_fs_stat(f->path, &now) != 0 || !io_fs_is_same(&now, st))
			continue;
		conf_error(ld,
			at,
			"include: this file is included already (%s): remove one of them",
			f->path);
		return true;
	}
	return false;
}

static void load_file(
	struct conf_load *ld, const struct conf_node *at, const char *path, const struct chain *up)
{
	struct chain here = { .depth = up ? up->depth + 1 : 0 };
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(CONF_FILE_BYTES_MAX);
	struct conf_load_file *f;
	struct stat st;

	if (ld->file_count >= CONF_FILES_MAX) {
		conf_error(
			ld, at, "include: there are more than %d files: join some", CONF_FILES_MAX);
		return;
	}
	if (!read_whole(ld, at, path, &text, &st) || is_again(ld, at, &st))
		return;
	f = add_file(ld, path);
	f->device = st.st_dev;
	f->inode = st.st_ino;
	f->root = conf_tree_read(ld, path, buf_sv(&text));
	here.file = f;
	if (f->root)
		load_includes(ld, &here);
}

void conf_read_mailboxes_from(struct conf_load *ld)
{
	for (size_t i = 0; i < ld->section_count[CONF_SECTION_MAILBOXES_FROM]; i++) {
		const struct conf_node *at = ld->sections[CONF_SECTION_MAILBOXES_FROM][i];
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(CONF_CSV_BYTES_MAX);
		const char *path;
		struct stat st;
		size_t errors;

		if (!conf_is_text(ld, at))
			continue;
		if (!ld->on_disk) {
			conf_error(ld,
				at,
				"mailboxes_from: is not possible here: list the mailboxes under "
				"mailboxes");
			continue;
		}
		errors = ld->error_count;
		path = at->text.len ? resolve(ld, at->file, at->text) : NULL;
		if (!path)
			conf_error(ld, at, "mailboxes_from: must be the path of a CSV file");
		else if (ld->file_count >= CONF_FILES_MAX)
			conf_error(ld,
				at,
				"mailboxes_from: there are more than %d files: join some",
				CONF_FILES_MAX);
		else if (read_whole(ld, at, path, &text, &st)) {
			(void)add_file(ld, path);
			conf_read_csv(ld, path, buf_sv(&text));
		}
		ld->incomplete = ld->incomplete || ld->error_count > errors;
	}
}

static void read_all(struct conf_load *ld)
{
	struct conf_seen seen = { 0 };

	for (size_t i = 0; i < ld->file_count; i++)
		if (ld->files[i].root)
			conf_read_top(ld, ld->files[i].root, &seen);
	conf_general_check(ld, &seen);
	conf_read_aliases(ld);
	conf_read_users(ld);
	conf_read_tenants(ld);
	conf_read_devices(ld);
	conf_read_listeners(ld);
	conf_check_devices(ld);
	conf_read_mailboxes(ld);
	conf_read_mailboxes_from(ld);
	conf_read_connectors(ld);
	conf_members_make(ld);
	conf_accounts_make(ld);
	conf_read_pools(ld);
	conf_check_basic_auth(ld);
	conf_check_wildcard_users(ld);
	conf_read_routes(ld);
	conf_check_bounces(ld);
	conf_check_open_networks(ld);
}

static void note_passwords(struct conf *c)
{
	for (size_t i = 0; i < c->lane_count; i++)
		if (c->lanes[i].sign_in == CONF_SIGN_IN_PASSWORD)
			c->has_password[c->lanes[i].provider] = true;
}

static struct conf *load_finish(struct conf_load *ld, struct conf_findings *out_findings)
{
	CLEANUP(conf_unrefp) struct conf *c = ld->conf;

	ld->incomplete = ld->error_count > 0;
	if (ld->file_count)
		read_all(ld);
	note_passwords(c);
	conf_made_begin(c);
	conf_findings_take(ld, out_findings);
	out_findings->passing = ld->passing;
	out_findings->control_socket =
		arena_sv(out_findings->arena, conf_general(c)->control_socket);
	arena_reset(&ld->nodes);
	return out_findings->error_count ? NULL : TAKE(c);
}

struct conf *conf_load(const char *path, struct conf_findings *out_findings)
{
	struct conf_load *ld = xcalloc(1, sizeof(*ld));
	struct conf_node at = { 0 };
	struct conf *c;

	load_init(ld, true);
	path = arena_str(&ld->conf->arena, sv_from(path));
	at = (struct conf_node){ .file = path, .line = 1, .column = 1 };
	load_file(ld, &at, path, NULL);
	c = load_finish(ld, out_findings);
	free(ld);
	return c;
}

struct conf *conf_load_text(struct sv text, struct conf_findings *out_findings)
{
	struct conf_load *ld = xcalloc(1, sizeof(*ld));
	struct chain here = { 0 };
	struct conf_load_file *f;
	struct conf *c;

	load_init(ld, false);
	f = add_file(ld, "text");
	if (text.len > CONF_FILE_BYTES_MAX) {
		struct conf_node at = { .file = f->path, .line = 1, .column = 1 };

		conf_error(ld,
			&at,
			"the text is larger than %d MB: split it",
			CONF_FILE_BYTES_MAX >> 20);
	} else {
		f->root = conf_tree_read(ld, f->path, text);
	}
	here.file = f;
	if (f->root)
		load_includes(ld, &here);
	c = load_finish(ld, out_findings);
	free(ld);
	return c;
}
