/* SPDX-License-Identifier: Apache-2.0 */
#include "base/time.h"

#include "base/err.h"

#include <string.h>

/* Days to civil date after Howard Hinnant's public-domain description of the proleptic calendar. */
struct civil_time wall_civil(struct wall_time t)
{
	int64_t seconds = t.us / (int64_t)US_PER_S;
	int64_t micros = t.us % (int64_t)US_PER_S;
	int64_t days, rest, era, day_of_era, year_of_era, day_of_year, month_index;
	struct civil_time c;

	if (micros < 0) {
		micros += (int64_t)US_PER_S;
		seconds--;
	}
	days = seconds / 86400;
	rest = seconds % 86400;
	if (rest < 0) {
		rest += 86400;
		days--;
	}
	c.weekday = (int)((days % 7 + 11) % 7);
	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	day_of_era = days - era * 146097;
	year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	month_index = (5 * day_of_year + 2) / 153;
	c.day = (int)(day_of_year - (153 * month_index + 2) / 5 + 1);
	c.month = (int)(month_index < 10 ? month_index + 3 : month_index - 9);
	c.year = (int)(year_of_era + era * 400 + (c.month <= 2));
	c.hour = (int)(rest / 3600);
	c.minute = (int)(rest / 60 % 60);
	c.second = (int)(rest % 60);
	c.micros = (int)micros;
	return c;
}

/* The lowest of its digits. Every line of the log and every message has a time: no printf. */
static char *put_digits(char *to, uint32_t number, size_t digits)
{
	for (size_t i = digits; i-- > 0; number /= 10)
		to[i] = (char)('0' + number % 10);
	return to + digits;
}

static char *put_day_time(char *to, const struct civil_time *c)
{
	to = put_digits(to, (uint32_t)c->hour, 2);
	*to++ = ':';
	to = put_digits(to, (uint32_t)c->minute, 2);
	*to++ = ':';
	return put_digits(to, (uint32_t)c->second, 2);
}

const char *wall_rfc3339(struct wall_time t, char out[WALL_RFC3339_MAX])
{
	struct civil_time c = wall_civil(t);
	char *to = put_digits(out, (uint32_t)c.year, 4);

	*to++ = '-';
	to = put_digits(to, (uint32_t)c.month, 2);
	*to++ = '-';
	to = put_digits(to, (uint32_t)c.day, 2);
	*to++ = 'T';
	to = put_day_time(to, &c);
	*to++ = '.';
	to = put_digits(to, (uint32_t)c.micros, 6);
	*to++ = 'Z';
	*to = '\0';
	return out;
}

static char *put_name(char *to, const char name[4])
{
	memcpy(to, name, 3);
	return to + 3;
}

static const char month_names[12][4] = {
	"Jan",
	"Feb",
	"Mar",
	"Apr",
	"May",
	"Jun",
	"Jul",
	"Aug",
	"Sep",
	"Oct",
	"Nov",
	"Dec",
};

const char *wall_rfc5322(struct wall_time t, char out[WALL_RFC5322_MAX])
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	struct civil_time c = wall_civil(t);
	char *to = out;

	to = put_name(to, days[c.weekday]);
	*to++ = ',';
	*to++ = ' ';
	to = put_digits(to, (uint32_t)c.day, 2);
	*to++ = ' ';
	to = put_name(to, month_names[c.month - 1]);
	*to++ = ' ';
	to = put_digits(to, (uint32_t)c.year, 4);
	*to++ = ' ';
	to = put_day_time(to, &c);
	memcpy(to, " +0000", sizeof(" +0000"));
	return out;
}

/* ---- reading ---- */

static bool take_number(struct sv *text, size_t digits, uint32_t max, uint32_t *out)
{
	struct sv head = sv_head(*text, digits);

	if (head.len != digits || sv_parse_u32(head, max, out) != 0)
		return false;
	*text = sv_skip(*text, digits);
	return true;
}

static bool take_char(struct sv *text, char c)
{
	if (text->len == 0 || text->ptr[0] != c)
		return false;
	*text = sv_skip(*text, 1);
	return true;
}

/* Days from civil: the inverse of wall_civil(). */
static int64_t days_of(uint32_t y, uint32_t month, uint32_t day)
{
	int64_t year = (int64_t)y - (month <= 2);

	return 365 * year + year / 4 - year / 100 + year / 400 +
	       (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1 - 719468;
}

static bool take_clock(struct sv *text, int64_t *out_us)
{
	uint32_t hour, minute, second = 0;
	int64_t unit = (int64_t)US_PER_S;

	if (!take_number(text, 2, 23, &hour) || !take_char(text, ':') ||
		!take_number(text, 2, 59, &minute))
		return false;
	if (take_char(text, ':') && !take_number(text, 2, 60, &second))
		return false;
	*out_us = (((int64_t)hour * 60 + minute) * 60 + second) * (int64_t)US_PER_S;
	if (!take_char(text, '.'))
		return true;
	if (text->len == 0 || text->ptr[0] < '0' || text->ptr[0] > '9')
		return false;
	while (text->len && text->ptr[0] >= '0' && text->ptr[0] <= '9') {
		unit /= 10;
		*out_us += (text->ptr[0] - '0') * unit;
		*text = sv_skip(*text, 1);
	}
	return true;
}

static bool take_offset(struct sv *text, int64_t *out_us)
{
	uint32_t hour, minute = 0;
	bool west;

	*out_us = 0;
	(void)take_char(text, ' ');
	if (text->len == 0 || take_char(text, 'Z') || take_char(text, 'z'))
		return true;
	west = take_char(text, '-');
	if ((!west && !take_char(text, '+')) || !take_number(text, 2, 23, &hour))
		return false;
	(void)take_char(text, ':');
	if (text->len && !take_number(text, 2, 59, &minute))
		return false;
	*out_us = (int64_t)(hour * 60 + minute) * (int64_t)US_PER_MIN * (west ? -1 : 1);
	return true;
}

int wall_parse(struct sv text, struct wall_time *out_at)
{
	uint32_t year, month, day;
	int64_t clock = 0, offset = 0;

	if (!take_number(&text, 4, 9999, &year) || !take_char(&text, '-') ||
		!take_number(&text, 2, 12, &month) || !take_char(&text, '-') ||
		!take_number(&text, 2, 31, &day) || month == 0 || day == 0)
		return RC_PARSE;
	if (text.len) {
		if (!take_char(&text, 'T') && !take_char(&text, 't') && !take_char(&text, ' '))
			return RC_PARSE;
		if (!take_clock(&text, &clock) || !take_offset(&text, &offset) || text.len)
			return RC_PARSE;
	}
	out_at->us = days_of(year, month, day) * (int64_t)US_PER_DAY + clock - offset;
	return 0;
}

static bool take_month(struct sv *text, uint32_t *out_month)
{
	struct sv name = sv_head(*text, 3);

	for (uint32_t i = 0; i < COUNT_OF(month_names); i++)
		if (sv_eq_nocase(name, sv_make(month_names[i], 3))) {
			*text = sv_trim(sv_skip(*text, 3));
			*out_month = i + 1;
			return true;
		}
	return false;
}

int wall_parse_rfc5322(struct sv text, struct wall_time *out_at)
{
	uint32_t year, month, day;
	int64_t clock = 0, offset = 0;
	ptrdiff_t comma = sv_find_char(text, ',');
	struct sv day_text, zone;

	text = sv_trim(sv_skip(text, comma < 0 ? 0 : (size_t)comma + 1));
	if (!sv_cut_char(&text, ' ', &day_text) || sv_parse_u32(day_text, 31, &day) != 0 ||
		day == 0)
		return RC_PARSE;
	text = sv_trim(text);
	if (!take_month(&text, &month) || !take_number(&text, 4, 9999, &year))
		return RC_PARSE;
	text = sv_trim(text);
	if (!take_clock(&text, &clock))
		return RC_PARSE;
	text = sv_trim(text);
	(void)sv_cut_char(&text, ' ', &zone);
	if (zone.len == 5 && (zone.ptr[0] == '+' || zone.ptr[0] == '-') &&
		!take_offset(&zone, &offset))
		return RC_PARSE;
	out_at->us = days_of(year, month, day) * (int64_t)US_PER_DAY + clock - offset;
	return 0;
}
