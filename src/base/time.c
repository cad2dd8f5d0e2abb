/* SPDX-License-Identifier: Apache-2.0 */
#include "base/time.h"

#include <stdio.h>

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

const char *wall_rfc3339(struct wall_time t, char out[WALL_RFC3339_MAX])
{
	struct civil_time c = wall_civil(t);

	(void)snprintf(out,
		WALL_RFC3339_MAX,
		"%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
		(unsigned)c.year % 10000,
		(unsigned)c.month % 100,
		(unsigned)c.day % 100,
		(unsigned)c.hour % 100,
		(unsigned)c.minute % 100,
		(unsigned)c.second % 100,
		(unsigned)c.micros % 1000000);
	return out;
}

const char *wall_rfc5322(struct wall_time t, char out[WALL_RFC5322_MAX])
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = {
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
	struct civil_time c = wall_civil(t);

	(void)snprintf(out,
		WALL_RFC5322_MAX,
		"%s, %02u %s %04u %02u:%02u:%02u +0000",
		days[c.weekday],
		(unsigned)c.day % 100,
		months[c.month - 1],
		(unsigned)c.year % 10000,
		(unsigned)c.hour % 100,
		(unsigned)c.minute % 100,
		(unsigned)c.second % 100);
	return out;
}
