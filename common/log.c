/* Log lines.  A line is built on the stack and written at once, so that lines never interleave. */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static char log_role[64] = "pail";
static enum log_level log_least = LOG_INFO;

void log_init(const char *role, enum log_level least)
{
	(void)snprintf(log_role, sizeof(log_role), "%s", role);
	log_least = least;
}

void log_level_set(enum log_level least)
{
	log_least = least;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const name[] = {"debug", "info", "warning", "error"};
	char line[1024];
	va_list ap;
	int n;
	int m;

	if (level < log_least)
		return;
	n = snprintf(line, sizeof(line), "%s: %s: ", log_role, name[level]);
	if (n < 0)
		return;
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (m < 0)
		return;
	n += m;
	if ((size_t)n > sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nowhere left to say it */
}
