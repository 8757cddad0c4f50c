/*
 * One line per event to stderr: level, who speaks, text.  Messages are lower case, say what failed,
 * then the subject in quotes, then why, and end without a full stop.  Library folders do not log:
 * they return errors, and the program in which the error stops says it once.
 */
#ifndef PAIL_LOG_H
#define PAIL_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Name this process in its lines (copied, cut at 63 bytes).  Lines below `least` are not written.
 */
void log_init(const char *role, enum log_level least);
void log_level_set(enum log_level least);

/* Write one line.  May be called from any thread; a line goes out in one write. */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
