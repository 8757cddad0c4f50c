/* Warnings, once in a while. */
#include "coordinator/peers/warning.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/log.h"

#define WARN_MS 60000u /* between warnings of one kind */

void warn(struct warning *w, uint64_t now_ms, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(w->text, sizeof(w->text), fmt, ap);
	va_end(ap);
	if (now_ms < w->next_ms) {
		w->held++;
		return;
	}
	log_warn("%s", w->text);
	w->next_ms = now_ms + WARN_MS;
}

void warning_tick(struct warning *w, uint64_t now_ms)
{
	if (!w->held || now_ms < w->next_ms)
		return;
	log_warn("%llu times more in the last minute, and last: %s", (unsigned long long)w->held,
		 w->text);
	w->held = 0;
	w->next_ms = now_ms + WARN_MS;
}
