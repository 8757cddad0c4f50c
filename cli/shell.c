/*
 * pail shell: the commands, line by line.  At a terminal with editing, history, and completion of
 * commands and bucket names; from a pipe without.  The connection is kept from line to line.
 */
#include <errno.h>
#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "cli/cli.h"

#define WORDS_MAX   64
#define HISTORY_MAX 1000
#define MATCHES_MAX 100

struct shell {
	struct cli *start; /* the command line that began it */
	struct session session;
	char prompt[128];
	bool terminal;
	bool cancelled;   /* the line being read: ^C was typed */
	bool interrupted; /* the last command: ^C was typed */
	bool end;
	int status; /* of the last command that failed */
};

static const char *const own_words[] = {"help", "node", "exit", "quit", NULL};

/* ---- commands ---- */

static void prompt_make(struct shell *s)
{
	struct cli c = *s->start;
	struct pail *p;
	struct pail_result *r = NULL;
	struct pail_bytes name;

	(void)snprintf(s->prompt, sizeof(s->prompt), "pail> ");
	c.whom = s->session.whom;
	c.session = &s->session;
	if (cli_connect(&c, &p) != CLI_OK || pail_hello(p, &r) != PAIL_OK)
		return;
	name = pail_value_bytes(pail_value_field(pail_result_value(r), "node"));
	if (name.data)
		(void)snprintf(s->prompt, sizeof(s->prompt), "pail %.*s> ", (int)name.size,
			       (const char *)name.data);
	pail_result_free(&r);
}

/* Help on the shell's own words, or on what all know. */
static int help(int n, char *const *word)
{
	const struct command *command = n > 1 ? command_find(word[1]) : NULL;

	if (command)
		return cli_help(command);
	if (n > 1) {
		command = command_near(word[1]);
		return cli_usage(NULL, "unknown command: %s%s%s%s", word[1],
				 command ? "; did you mean " : "", command ? command->name : "",
				 command ? "?" : "");
	}
	for (const struct command *c = commands; c->name; c++)
		(void)printf("  %-8s %-18s %s\n", c->name, c->args, c->summary);
	(void)printf("  %-8s %-18s %s\n", "node", "[ENDPOINT]", "ask another node from now on");
	(void)printf("  %-8s %-18s %s\n", "exit", "", "leave; so does the end of input");
	(void)printf("Words with blanks in quotes; help COMMAND tells more.\n");
	return CLI_OK;
}

static int node_set(struct shell *s, int n, char *const *word)
{
	struct cli c = *s->start;
	char why[200];
	int r;

	if (n == 1) {
		(void)printf("%s\n", s->session.whom.endpoint);
		return CLI_OK;
	}
	if (n > 2 || !cli_endpoint(word[1], NULL, 0, why, sizeof(why))) {
		(void)fprintf(stderr, "pail: node: %s\n", n > 2 ? "it takes one endpoint" : why);
		return CLI_USAGE;
	}
	c.node = word[1];
	c.config = NULL;
	c.admin = false;
	r = cli_whom(&c);
	if (r != CLI_OK)
		return r;
	s->session.whom = c.whom;
	if (s->terminal)
		prompt_make(s);
	return CLI_OK;
}

/* A command of pail's, on the session's connection.  ^C ends the wait for it, not the shell. */
static int command_run(struct shell *s, struct words w)
{
	struct cli c = *s->start;
	int r;

	c.node = c.config = NULL;
	c.admin = false;
	c.session = &s->session;
	c.args = 0;
	cli_catch(true);
	r = cli_run(w, &c);
	s->interrupted = cli_interrupted();
	cli_catch(false);
	return r;
}

static void run(struct shell *s, char *line)
{
	char *word[WORDS_MAX];
	char *end[WORDS_MAX];
	int n = cli_split(line, strlen(line), word, end, WORDS_MAX);
	int r = CLI_OK;

	if (n == 0)
		return;
	if (n < 0) {
		(void)fprintf(stderr, "pail: an open quote, or more than %d words\n", WORDS_MAX);
		r = CLI_USAGE;
	} else if (!strcmp(word[0], "exit") || !strcmp(word[0], "quit")) {
		s->end = true;
	} else if (!strcmp(word[0], "help")) {
		r = help(n, word);
	} else if (!strcmp(word[0], "node")) {
		r = node_set(s, n, word);
	} else if (!strcmp(word[0], "shell")) {
		(void)fprintf(stderr, "pail: this is one already\n");
		r = CLI_USAGE;
	} else {
		r = command_run(s, (struct words){n, word, end});
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
		.size = sizeof(q), .prefix = {begin, n},
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

/*
 * ^C: never mind this line.  What libedit then hands over is thrown away: an empty line it would
 * take for the end of input, and a line cannot be emptied from here whatever its state.
 */
static unsigned char cancel(EditLine *el, int ch)
{
	struct shell *s = NULL;

	(void)ch;
	(void)el_get(el, EL_CLIENTDATA, &s);
	s->cancelled = true;
	(void)fputs("^C\r\n", stdout);
	(void)fflush(stdout);
	return CC_NEWLINE;
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

static volatile sig_atomic_t resized;

static void resize(int sig)
{
	(void)sig;
	resized = 1;
}

/* One character for libedit: 1, 0 at the end of input, -1.  The window may change its size
 * meanwhile. */
static int character(EditLine *el, wchar_t *ret)
{
	mbstate_t state = {0};
	char c;

	for (;;) {
		ssize_t n = read(STDIN_FILENO, &c, 1);
		size_t k;

		if (resized) {
			resized = 0;
			el_resize(el);
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		k = mbrtowc(ret, &c, 1, &state);
		if (k == (size_t)-2)
			continue;
		if (k != (size_t)-1)
			return 1;
		/* No text: it is dropped, and what follows begins anew.  Escapes are for such. */
		memset(&state, 0, sizeof(state));
		if ((unsigned char)c < 0x80) {
			*ret = (wchar_t)c;
			return 1;
		}
	}
}

static void keys_bind(struct shell *s, EditLine *el, History *h)
{
	(void)el_set(el, EL_CLIENTDATA, s);
	(void)el_set(el, EL_PROMPT, prompt);
	(void)el_set(el, EL_EDITOR, "emacs");
	(void)el_set(el, EL_HIST, history, h);
	(void)el_set(el, EL_GETCFN, character);
	(void)el_set(el, EL_ADDFN, "pail-complete", "complete commands and buckets", complete);
	(void)el_set(el, EL_BIND, "^I", "pail-complete", NULL);
	(void)el_set(el, EL_ADDFN, "pail-cancel", "never mind this line", cancel);
	(void)el_set(el, EL_BIND, "^C", "pail-cancel", NULL);
	(void)el_set(el, EL_BIND, "^R", "em-inc-search-prev", NULL);
	(void)el_set(el, EL_SETTY, "-d", "-isig", NULL);
}

/* The next line, or NULL at the end.  ^C never ends it. */
static const char *line_read(struct shell *s, EditLine *el)
{
	const char *line;
	int n;

	do {
		s->cancelled = false;
		/* The prompt stands a moment before libedit takes ^C as a key. */
		(void)signal(SIGINT, SIG_IGN);
		line = el_gets(el, &n);
		(void)signal(SIGINT, SIG_DFL);
	} while (s->cancelled);
	return line;
}

static void at_terminal(struct shell *s)
{
	struct sigaction winch = {.sa_handler = resize};
	EditLine *el = el_init("pail", stdin, stdout, stderr);
	History *h = history_init();
	HistEvent event;
	char file[1024];
	const char *line;

	history_place(file, sizeof(file));
	(void)history(h, &event, H_SETSIZE, HISTORY_MAX);
	(void)history(h, &event, H_SETUNIQUE, 1);
	(void)history(h, &event, H_LOAD, file);
	keys_bind(s, el, h);
	(void)sigaction(SIGWINCH, &winch, NULL);
	while (!s->end && (line = line_read(s, el))) {
		char *copy = strdup(line);

		if (copy && strspn(line, " \t\n") != strlen(line)) {
			(void)history(h, &event, H_ENTER, line);
			(void)history(h, &event, H_SAVE, file); /* a signal may end us */
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
	ssize_t n;

	while (!s->end && (n = getline(&line, &size, stdin)) >= 0) {
		if (memchr(line, '\0', (size_t)n)) {
			(void)fprintf(stderr, "pail: a NUL in a line: write it as \\x00\n");
			s->status = CLI_USAGE;
		} else {
			run(s, line);
		}
		if (s->interrupted) /* at a terminal it is the command that ends, here all */
			break;
	}
	free(line);
}

int run_shell(struct cli *c)
{
	struct shell s = {.start = c, .status = CLI_OK};

	s.terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	s.session.whom = c->whom;
	s.session.context = c->context;
	if (s.terminal) {
		prompt_make(&s);
		at_terminal(&s);
	} else {
		from_pipe(&s);
	}
	pail_close(&s.session.p);
	return s.terminal ? CLI_OK : s.status;
}
