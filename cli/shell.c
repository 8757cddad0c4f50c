/*
 * pail shell: the commands, line by line.  At a terminal with editing, history, and completion of
 * commands and bucket names; from a pipe without.  The connection is kept from line to line.
 */
#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define WORDS_MAX   64
#define HISTORY_MAX 1000
#define MATCHES_MAX 100

struct shell {
	struct cli *start; /* the command line that began it */
	struct session session;
	char node[300]; /* which the next command asks */
	char prompt[128];
	bool end;
	int status; /* of the last command that failed */
};

static const char *const own_words[] = {"help", "node", "exit", "quit", NULL};

/* ---- words ---- */

/*
 * Split a line in place: blanks part words, quotes of either kind hold them together, a backslash
 * takes the next byte as it is.  Returns how many, or -1: a quote is open, or there are too many.
 */
static int split(char *line, char **word)
{
	char *to = line;
	char quote = 0;
	int n = 0;
	bool inside = false;

	for (char *p = line; *p; p++) {
		if (!quote && (*p == ' ' || *p == '\t' || *p == '\n')) {
			if (inside)
				*to++ = '\0';
			inside = false;
			continue;
		}
		if (!inside) {
			if (*p == '#')
				break;
			if (n == WORDS_MAX)
				return -1;
			word[n++] = to;
			inside = true;
		}
		if (quote ? *p == quote : *p == '"' || *p == '\'') {
			quote = quote ? 0 : *p;
		} else {
			p += *p == '\\' && quote != '\'' && p[1];
			*to++ = *p;
		}
	}
	*to = '\0';
	return quote ? -1 : n;
}

/* ---- commands ---- */

static void prompt_make(struct shell *s)
{
	struct cli c = *s->start;
	struct pail *p;
	struct pail_result *r = NULL;
	const char *name;
	const char *end;

	(void)snprintf(s->prompt, sizeof(s->prompt), "pail> ");
	c.node = s->node;
	c.session = &s->session;
	if (cli_connect(&c, &p) != CLI_OK || pail_hello(p, &r) != PAIL_OK)
		return;
	name = r->json ? strstr(r->json, "\"node\":\"") : NULL;
	end = name ? strchr(name + 8, '"') : NULL;
	if (end)
		(void)snprintf(s->prompt, sizeof(s->prompt), "pail %.*s> ", (int)(end - name - 8),
			       name + 8);
	pail_result_free(&r);
}

static void help(void)
{
	for (const struct command *c = commands; c->name; c++)
		(void)printf("  %-8s %-18s %s\n", c->name, c->args, c->summary);
	(void)printf("  %-8s %-18s %s\n", "node", "[ENDPOINT]", "ask another node from now on");
	(void)printf("  %-8s %-18s %s\n", "exit", "", "leave; so does the end of input");
	(void)printf("Words with blanks in quotes; COMMAND --help tells more.\n");
}

static void node_set(struct shell *s, int n, char **word)
{
	if (n > 1)
		(void)snprintf(s->node, sizeof(s->node), "%s", word[1]);
	else
		(void)printf("%s\n", s->node);
	if (n > 1)
		prompt_make(s);
}

static void run(struct shell *s, char *line)
{
	char *word[WORDS_MAX + 2];
	struct cli c;
	int n = split(line, word + 1);
	int r = CLI_OK;

	if (n == 0)
		return;
	word[0] = (char *)(uintptr_t) "pail";
	if (n < 0) {
		(void)fprintf(stderr, "pail: an open quote, or more than %d words\n", WORDS_MAX);
		r = CLI_USAGE;
	} else if (!strcmp(word[1], "exit") || !strcmp(word[1], "quit")) {
		s->end = true;
	} else if (!strcmp(word[1], "help")) {
		help();
	} else if (!strcmp(word[1], "node")) {
		node_set(s, n, word + 1);
	} else if (!strcmp(word[1], "shell")) {
		(void)fprintf(stderr, "pail: this is one already\n");
		r = CLI_USAGE;
	} else {
		word[n + 1] = NULL;
		c = *s->start;
		c.node = s->node;
		c.session = &s->session;
		c.args = 0;
		r = cli_run(n + 1, word, &c);
	}
	(void)fflush(stdout);
	if (r != CLI_OK)
		s->status = r;
}

/* ---- completion ---- */

/* What there is to complete with: `match` gets each name that begins with the `n` bytes at `begin`.
 */
struct matches {
	char name[MATCHES_MAX][256];
	int count;
};

static void match(struct matches *m, const char *name, const char *begin, size_t n)
{
	if (m->count < MATCHES_MAX && !strncmp(name, begin, n))
		(void)snprintf(m->name[m->count++], sizeof(m->name[0]), "%s", name);
}

static void match_buckets(struct shell *s, struct matches *m, const char *begin, size_t n)
{
	struct pail_request q = {
		.prefix = {begin, n},
                  .limit = MATCHES_MAX, .timeout_ms = 1000
        };
	struct pail_result *r = NULL;
	char name[256];

	if (s->session.p && pail_buckets(s->session.p, &q, &r) == PAIL_OK)
		for (size_t i = 0; i < r->item_count; i++) {
			(void)snprintf(name, sizeof(name), "%.*s", (int)r->items[i].key.size,
				       (const char *)r->items[i].key.data);
			if (strlen(name) == r->items[i].key.size)
				match(m, name, begin, n);
		}
	pail_result_free(&r);
}

/* Bytes that all matches have in common. */
static size_t common(const struct matches *m)
{
	size_t n = strlen(m->name[0]);

	for (int i = 1; i < m->count; i++)
		while (strncmp(m->name[0], m->name[i], n) != 0)
			n--;
	return n;
}

static unsigned char complete(EditLine *el, int ch)
{
	static struct matches m;
	const LineInfo *line = el_line(el);
	const char *begin = line->cursor;
	const char *first = line->buffer;
	struct shell *s = NULL;
	char rest[260];
	size_t typed;
	size_t n;

	(void)ch;
	(void)el_get(el, EL_CLIENTDATA, &s);
	while (begin > line->buffer && begin[-1] != ' ')
		begin--;
	while (first < begin && *first == ' ')
		first++;
	typed = (size_t)(line->cursor - begin);
	m.count = 0;
	if (first == begin) {
		for (const struct command *c = commands; c->name; c++)
			match(&m, c->name, begin, typed);
		for (int i = 0; own_words[i]; i++)
			match(&m, own_words[i], begin, typed);
	} else if (*begin != '-') {
		match_buckets(s, &m, begin, typed);
	}
	if (!m.count)
		return CC_ERROR;
	n = common(&m);
	(void)snprintf(rest, sizeof(rest), "%.*s%s", (int)(n - typed), m.name[0] + typed,
		       m.count == 1 ? " " : "");
	if (*rest && el_insertstr(el, rest) == 0)
		return CC_REFRESH;
	(void)printf("\n");
	for (int i = 0; i < m.count; i++)
		(void)printf("%s%s", m.name[i], i + 1 < m.count ? "  " : "\n");
	(void)fflush(stdout);
	return CC_REDISPLAY;
}

/* ^C: never mind this line. */
static unsigned char cancel(EditLine *el, int ch)
{
	const LineInfo *line = el_line(el);

	(void)ch;
	(void)el_cursor(el, (int)(line->lastchar - line->cursor));
	line = el_line(el);
	el_deletestr(el, (int)(line->lastchar - line->buffer));
	return el_insertstr(el, "\n") == 0 ? CC_NEWLINE : CC_ERROR; /* empty, but no end of input */
}

/* ---- reading ---- */

static char *prompt(EditLine *el)
{
	struct shell *s = NULL;

	(void)el_get(el, EL_CLIENTDATA, &s);
	return s->prompt;
}

static void history_place(char *out, size_t size)
{
	const char *file = getenv("PAIL_HISTORY");
	const char *home = getenv("HOME");

	(void)snprintf(out, size, "%s%s",
		       file   ? file
		       : home ? home
			      : "",
		       file ? "" : "/.pail_history");
}

static void at_terminal(struct shell *s)
{
	EditLine *el = el_init("pail", stdin, stdout, stderr);
	History *h = history_init();
	HistEvent event;
	char file[1024];
	const char *line;
	int n;

	history_place(file, sizeof(file));
	(void)history(h, &event, H_SETSIZE, HISTORY_MAX);
	(void)history(h, &event, H_SETUNIQUE, 1);
	(void)history(h, &event, H_LOAD, file);
	(void)el_set(el, EL_CLIENTDATA, s);
	(void)el_set(el, EL_PROMPT, prompt);
	(void)el_set(el, EL_EDITOR, "emacs");
	(void)el_set(el, EL_HIST, history, h);
	(void)el_set(el, EL_ADDFN, "pail-complete", "complete commands and buckets", complete);
	(void)el_set(el, EL_BIND, "^I", "pail-complete", NULL);
	(void)el_set(el, EL_ADDFN, "pail-cancel", "never mind this line", cancel);
	(void)el_set(el, EL_BIND, "^C", "pail-cancel", NULL);
	(void)el_set(el, EL_SETTY, "-d", "-isig", NULL);
	while (!s->end) {
		char *copy;

		/* The prompt stands a moment before libedit takes ^C as a key. */
		(void)signal(SIGINT, SIG_IGN);
		line = el_gets(el, &n);
		(void)signal(SIGINT, SIG_DFL);
		if (!line)
			break;
		copy = strdup(line);
		if (copy && strspn(line, " \t\n") != strlen(line)) {
			(void)history(h, &event, H_ENTER, line);
			(void)history(h, &event, H_SAVE,
				      file); /* a ^C may end the command, and us */
		}
		if (copy)
			run(s, copy);
		free(copy);
	}
	if (!s->end)
		(void)printf("\n");
	history_end(h);
	el_end(el);
}

static void from_pipe(struct shell *s)
{
	char *line = NULL;
	size_t size = 0;

	while (!s->end && getline(&line, &size, stdin) >= 0)
		run(s, line);
	free(line);
}

int run_shell(struct cli *c)
{
	struct shell s = {.start = c, .status = CLI_OK};

	(void)snprintf(s.node, sizeof(s.node), "%s", c->node);
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
		prompt_make(&s);
		at_terminal(&s);
	} else {
		from_pipe(&s);
	}
	pail_close(&s.session.p);
	return isatty(STDIN_FILENO) ? CLI_OK : s.status;
}
