/* The settings as a file, and as help. */
#include <stdio.h>
#include <string.h>

#include "common/config/config.h"
#include "common/config/config_impl.h"

void conf_print(const struct conf *c, struct buf *out)
{
	const char *section = "";

	for (unsigned i = 0; i < CONF_KEY_COUNT; i++) {
		if (strcmp(section, conf_rows[i].section) != 0) {
			section = conf_rows[i].section;
			buf_fmt(out, "%s[%s]\n", i ? "\n" : "", section);
		}
		buf_fmt(out, "# %s\n%s = %s\n", c->value[i].origin, conf_rows[i].key,
			c->value[i].text);
	}
	for (int k = 0; k < 2; k++) {
		const struct conf_pairs *p = k ? &c->routes : &c->peers;

		if (p->count)
			buf_fmt(out, "\n[%s]\n", k ? "routes" : "peers");
		for (uint32_t i = 0; i < p->count; i++) {
			buf_fmt(out, "# %s\n", p->pair[i].origin);
			conf_pair_print(&p->pair[i], out);
			buf_text(out, "\n");
		}
	}
}

void conf_describe(struct buf *out)
{
	for (unsigned i = 0; i < CONF_KEY_COUNT; i++) {
		const struct conf_row *row = &conf_rows[i];
		const char *standard = *row->standard ? row->standard : "none";

		buf_fmt(out, "  %s.%-*s %s", row->section, (int)(26 - strlen(row->section)),
			row->key, row->help);
		if (!strstr(row->help, "if not set:"))
			buf_fmt(out, " (default %s)", standard);
		buf_text(out, row->reload ? " [reload]\n" : "\n");
	}
}
