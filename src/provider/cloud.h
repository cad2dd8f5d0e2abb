/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

/*
 * The clouds: where a tenant signs in, and what the token must be for. Data with a source and a day
 * (the .c file has both); each value can be overridden in the configuration.
 */
enum provider_cloud {
	PROVIDER_CLOUD_GLOBAL, /* also GCC */
	PROVIDER_CLOUD_GCC_HIGH,
	PROVIDER_CLOUD_DOD,
	PROVIDER_CLOUD_21VIANET,
	PROVIDER_CLOUD_GOOGLE, /* Workspace: other paths, the same flows */
	PROVIDER_CLOUD_COUNT,
};

struct provider_cloud_row {
	const char *name;     /* "global", "gcc-high", "dod", "21vianet", "google" */
	struct sv login;      /* "https://login.microsoftonline.com" */
	struct sv graph;      /* "https://graph.microsoft.com" */
	struct sv smtp;       /* host of client submission */
	struct sv scope_host; /* "https://outlook.office365.com" */
	struct sv
		upload; /* domains, a blank between: where Graph lets attachments be uploaded to */
	/* Paths behind `login`; "{tenant}" is replaced. */
	const char *token_path, *device_path, *authorize_path;
	const char *source, *checked;
};

const struct provider_cloud_row *provider_cloud(enum provider_cloud cloud);
/*
 * May an attachment go to this uploadUrl of a Graph at `graph`? To that same place, or by HTTPS on its usual port to a host
 * of the cloud: an answer must not lead mail of ours elsewhere.
 */
NODISCARD bool provider_cloud_upload_ok(enum provider_cloud cloud, struct sv graph, struct sv url);
NODISCARD int provider_cloud_parse(struct sv name, enum provider_cloud *out_cloud);
