/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/page.h"

/* Made of the files by tools/embed. */
extern const unsigned char index_html_data[], page_css_data[], page_js_data[];
extern const size_t index_html_size, page_css_size, page_js_size;

static const struct {
	struct sv path;
	const char *type;
	const unsigned char *data;
	const size_t *size;
} files[] = {
	{ SV_INIT("/"), "text/html; charset=utf-8", index_html_data, &index_html_size },
	{ SV_INIT("/ui/page.css"), "text/css; charset=utf-8", page_css_data, &page_css_size },
	{ SV_INIT("/ui/page.js"), "text/javascript; charset=utf-8", page_js_data, &page_js_size },
};

static size_t find(struct sv path)
{
	size_t i = 0;

	while (i < sizeof(files) / sizeof(files[0]) && !sv_eq(files[i].path, path))
		i++;
	return i;
}

bool sandbox_page_knows(struct sv path)
{
	return find(path) < sizeof(files) / sizeof(files[0]);
}

enum MHD_Result sandbox_page_serve(struct sandbox_web_request *r)
{
	size_t i = find(r->path);

	sandbox_web_header(r, "X-Content-Type-Options", "nosniff");
	sandbox_web_header(r, "Referrer-Policy", "no-referrer");
	sandbox_web_header(r,
		"Content-Security-Policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
		"img-src data:; "
		"frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
	return sandbox_web_send(r,
		MHD_HTTP_OK,
		files[i].type,
		sv_make((const char *)files[i].data, *files[i].size));
}
