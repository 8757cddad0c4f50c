/* A line's words. */
#include "cli/cli.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

int cli_split(char *line, size_t size, char **word, char **end, int most)
{
	const char *stop = line + size;
	char *to = line;
	char quote = 0;
	int n = 0;
	bool inside = false;

	for (char *p = line; p < stop; p++) {
		if (!quote && is_blank(*p)) {
			if (inside) {
				end[n - 1] = to;
				*to++ = '\0';
			}
			inside = false;
			continue;
		}
		if (!inside) {
			if (*p == '#')
				break;
			if (n == most)
				return -1;
			word[n++] = to;
			inside = true;
		}
		if (quote ? *p == quote : *p == '"' || *p == '\'') {
			quote = quote ? 0 : *p;
		} else if (*p == '\\' && quote != '\'' && stop - p > 3 && p[1] == 'x' &&
			   cli_digit(p[2]) >= 0 && cli_digit(p[3]) >= 0) {
			*to++ = (char)(cli_digit(p[2]) << 4 | cli_digit(p[3]));
			p += 3;
		} else {
			p += *p == '\\' && quote != '\'' && stop - p > 1;
			*to++ = *p;
		}
	}
	if (inside)
		end[n - 1] = to;
	*to = '\0';
	return quote ? -1 : n;
}
