/* SPDX-License-Identifier: Apache-2.0 */
#include "drop/compose.h"

#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "mail/address.h"
#include "mail/address_list.h"

struct recipients {
	struct arena *arena;
	struct sv *list;
	size_t count;
	size_t cap;
	bool too_many;
	struct buf *bad; /* what is no address, a line each */
};

static void add_recipient(void *arg, struct sv address)
{
	struct recipients *r = arg;

	for (size_t i = 0; i < r->count; i++) {
		if (r->list[i].len == address.len && address_eq(r->list[i], address))
			return;
	}
	if (r->count == LIMIT_RCPT) {
		r->too_many = true;
		return;
	}
	if (r->count == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 16;
		struct sv *grown = arena_alloc(r->arena, cap * sizeof(*grown));

		if (r->count)
			memcpy(grown, r->list, r->count * sizeof(*grown));
		r->list = grown;
		r->cap = cap;
	}
	r->list[r->count++] = arena_sv(r->arena, address);
}

static void note_bad(void *arg, struct sv text)
{
	struct recipients *r = arg;

	text = sv_head(text, 120);
	/* Where the buffer ends, enough of them were named. */
	if (buf_room(r->bad) <= text.len)
		return;
	for (size_t i = 0; i < text.len; i++)
		must(buf_append_char(r->bad, text.ptr[i] == '\n' ? ' ' : text.ptr[i]) == 0);
	must(buf_append_char(r->bad, '\n') == 0);
}

/* Folding is for headers; on a command line a line break is somebody's attempt at another command. */
static bool has_control(struct sv text)
{
	for (size_t i = 0; i < text.len; i++) {
		if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
			return true;
	}
	return false;
}

static void add_operand(struct recipients *r, struct sv operand)
{
	struct address_list list;
	struct address_list_item item;
	bool any = false;
	int rc = RC_PARSE;

	address_list_init(&list, operand);
	while (!has_control(operand) && (rc = address_list_next(&list, &item)) == 1) {
		if (item.address.len) {
			add_recipient(r, item.address);
			any = true;
		}
	}
	if (rc < 0 || !any)
		note_bad(r, operand);
}

/* RFC 5322 3.6.6: a message that is sent on goes to whom it is sent on, not to its first readers. */
static void add_header_recipients(struct recipients *r, struct header_block *header)
{
	static const struct sv names[2][3] = {
		{ SV_INIT("To"), SV_INIT("Cc"), SV_INIT("Bcc") },
		{ SV_INIT("Resent-To"), SV_INIT("Resent-Cc"), SV_INIT("Resent-Bcc") },
	};
	size_t resent = 0;

	for (size_t i = 0; i < 3; i++)
		resent += header_block_count(header, names[1][i]);
	for (size_t i = 0; i < 3; i++)
		(void)!header_block_addresses(
			header, names[resent ? 1 : 0][i], add_recipient, note_bad, r);
}

/* A login that is no atom ("CONTOSO\anna") can still be one as a quoted local part. */
static int login_address(struct arena *arena, struct sv login, struct sv *out_address)
{
	struct buf quoted = BUF_INIT(LIMIT_ADDRESS);
	struct address parsed;
	int rc;

	if (address_parse(login, ADDRESS_UTF8 | ADDRESS_NO_DOMAIN, &parsed) == 0) {
		*out_address = login;
		return 0;
	}
	rc = buf_append_char(&quoted, '"');
	for (size_t i = 0; rc == 0 && i < login.len; i++) {
		if (login.ptr[i] == '"' || login.ptr[i] == '\\')
			rc = buf_append_char(&quoted, '\\');
		if (rc == 0)
			rc = buf_append_char(&quoted, login.ptr[i]);
	}
	if (rc == 0)
		rc = buf_append_char(&quoted, '"');
	if (rc == 0)
		rc = address_parse(buf_sv(&quoted), ADDRESS_UTF8 | ADDRESS_NO_DOMAIN, &parsed);
	if (rc == 0)
		*out_address = arena_sv(arena, buf_sv(&quoted));
	buf_deinit(&quoted);
	return rc;
}

static int parse_sender(struct arena *arena, struct sv text, struct sv *out_sender, struct err *err)
{
	struct address_list list;
	struct address_list_item item;
	struct sv sender = { 0 };

	text = sv_trim(text);
	if (text.len && !sv_eq(text, SV("<>"))) {
		address_list_init(&list, text);
		if (has_control(text) || address_list_next(&list, &item) != 1)
			return err_set(err,
				RC_PARSE,
				"-f: '%.*s' is not an address",
				SV_ARG(sv_head(text, 120)));
		sender = arena_sv(arena, item.address);
		if (address_list_next(&list, &item) != 0)
			return err_set(err, RC_PARSE, "-f: a message has one sender, not several");
	}
	*out_sender = sender;
	return 0;
}

/* passwd(5) by custom: the name ends at a comma, and '&' stands for the login, capitalised. */
static struct sv name_of_gecos(struct arena *arena, const struct drop_user *user)
{
	struct buf name = BUF_INIT(DROP_NAME_MAX);
	struct sv gecos = sv_trim(user->gecos);
	ptrdiff_t comma = sv_find_char(gecos, ',');
	struct sv made = { 0 };
	int rc = 0;

	if (comma >= 0)
		gecos = sv_head(gecos, (size_t)comma);
	for (size_t i = 0; rc == 0 && i < gecos.len; i++) {
		size_t at = name.len;

		rc = gecos.ptr[i] == '&' ? buf_append(&name, user->login)
					 : buf_append_char(&name, gecos.ptr[i]);
		if (rc == 0 && gecos.ptr[i] == '&' && name.len > at &&
			name.ptr[name.head + at] >= 'a' && name.ptr[name.head + at] <= 'z')
			name.ptr[name.head + at] = (char)(name.ptr[name.head + at] - 'a' + 'A');
	}
	if (rc == 0)
		made = arena_sv(arena, buf_sv(&name));
	buf_deinit(&name);
	return made;
}

static int render_from(struct buf *out, struct sv name, struct sv address)
{
	int rc = address_name_render(out, name);

	if (rc == 0)
		rc = buf_append(out, name.len ? SV(" <") : SV(""));
	if (rc == 0)
		rc = buf_append(out, address);
	return rc == 0 ? buf_append(out, name.len ? SV(">") : SV("")) : rc;
}

static int render_message(struct arena *arena, const struct drop_compose_args *args,
	struct sv from_address, struct drop_message *message, struct err *err)
{
	struct buf from = BUF_INIT(4096);
	struct sv given = args->options->name;
	struct sv name = given.len ? given : name_of_gecos(arena, args->user);
	struct header_edits edits = { .drop_bcc = true, .date = args->now };
	int rc = render_from(&from, name, from_address);

	if (rc == 0) {
		edits.from_missing = buf_sv(&from);
		rc = drop_message_render(message, &edits, err);
	}
	buf_deinit(&from);
	return rc;
}

/* A message without From gets one at the sender; a bounce has no sender, but somebody ran us. */
static int choose_senders(struct arena *arena, const struct drop_compose_args *args,
	struct sv *out_sender, struct sv *out_from, struct err *err)
{
	const struct drop_options *options = args->options;
	struct sv login = { 0 };
	int rc;

	if (options->sender_given) {
		rc = parse_sender(arena, options->sender, out_sender, err);
		*out_from = *out_sender;
		if (rc != 0 || out_from->len)
			return rc;
	}
	rc = login_address(arena, args->user->login, &login);
	if (rc != 0)
		return err_set(err,
			RC_PARSE,
			"the login name '%.*s' is not an address: name a sender with -f",
			SV_ARG(sv_head(args->user->login, 60)));
	*out_from = login;
	if (!options->sender_given)
		*out_sender = login;
	return 0;
}

int drop_compose(struct arena *arena, const struct drop_compose_args *args,
	struct drop_message *message, struct drop_envelope *out_envelope, struct err *err)
{
	const struct drop_options *options = args->options;
	struct recipients recipients = { .arena = arena, .bad = args->bad };
	struct drop_envelope e = {
		.envid = options->envid,
		.ret = options->ret,
		.notify = options->notify,
		.body_8bit = options->body_8bit || message->has_8bit,
	};
	struct sv from = { 0 };
	int rc = choose_senders(arena, args, &e.sender, &from, err);

	for (size_t i = 0; rc == 0 && i < args->operand_count; i++)
		add_operand(&recipients, args->operands[i]);
	if (rc == 0 && options->recipients_from_header)
		add_header_recipients(&recipients, message->header);
	if (rc == 0 && recipients.too_many)
		rc = err_set(err, RC_LIMIT, "more than %d recipients", LIMIT_RCPT);
	if (rc == 0 && recipients.count == 0 && args->bad->len)
		rc = err_set(err,
			RC_PARSE,
			"'%.*s' is not an address; nothing was sent",
			SV_ARG(sv_head(
				buf_sv(args->bad), (size_t)sv_find_char(buf_sv(args->bad), '\n'))));
	if (rc == 0 && recipients.count == 0)
		rc = err_set(err, RC_NOT_FOUND, "no recipient in To, Cc or Bcc");
	if (rc == 0)
		rc = render_message(arena, args, from, message, err);
	if (rc != 0)
		return rc;
	e.recipients = recipients.list;
	e.recipient_count = recipients.count;
	e.size = drop_message_size(message);
	e.smtputf8 = address_needs_utf8(e.sender);
	for (size_t i = 0; i < recipients.count; i++)
		e.smtputf8 = e.smtputf8 || address_needs_utf8(recipients.list[i]);
	*out_envelope = e;
	return 0;
}
