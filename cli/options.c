/* Command lines by the tables: options and arguments into struct cli, and help out of them. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "common/endpoint.h"
#include "common/near.h"
#include "include/wire.h"

/* ---- the tables ---- */

const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

const struct command *command_near(const char *name)
{
	const struct command *best = NULL;
	unsigned least = NEAR_NOT;

	for (const struct command *c = commands; c->name; c++) {
		unsigned d = near_distance(name, c->name);

		if (d < least) {
			least = d;
			best = c;
		}
	}
	return best;
}

bool option_is_of(const struct option_row *o, const struct command *command)
{
	size_t n = strlen(o->name);

	if (o->common)
		return true;
	if (!command || (o->only && strcmp(o->only, command->name) != 0))
		return false;
	for (const char *p = command->options; *p; p += strcspn(p, " "), p += *p == ' ')
		if (!strncmp(p, o->name, n) && (!p[n] || p[n] == ' '))
			/* A row that is for this command alone goes before the general one. */
			for (const struct option_row *r = option_rows; r->name; r++)
				if (!strcmp(r->name, o->name) &&
				    (!r->only || !strcmp(r->only, command->name)))
					return r == o;
	return false;
}

void option_usage(const struct option_row *o, char *usage, size_t usage_size, char *range,
		  size_t range_size)
{
	const char *between = o->otherwise && (o->least || o->most) ? ", " : "";
	char numbers[64] = "";

	(void)snprintf(usage, usage_size, "--%s%s%s", o->name, o->value ? " " : "",
		       o->value ? o->value : "");
	if (o->letter)
		(void)snprintf(usage, usage_size, "-%c, --%s%s%s", o->letter, o->name,
			       o->value ? " " : "", o->value ? o->value : "");
	if (o->most == UINT64_MAX)
		(void)snprintf(numbers, sizeof(numbers), "%" PRIu64 " or more", o->least);
	else if (o->most)
		(void)snprintf(numbers, sizeof(numbers), "%" PRIu64 " to %" PRIu64, o->least,
			       o->most);
	(void)snprintf(range, range_size, "%s%s%s%s", numbers, between,
		       o->otherwise ? "default " : "", o->otherwise ? o->otherwise : "");
}

/* ---- help ---- */

static void options_print(FILE *f, const struct command *command, bool common)
{
	for (const struct option_row *o = option_rows; o->name; o++) {
		char usage[64];
		char range[128];

		if (o->common != common || !option_is_of(o, command))
			continue;
		option_usage(o, usage, sizeof(usage), range, sizeof(range));
		(void)fprintf(f, "  %-18s %s%s%s%s\n", usage, o->help, *range ? " (" : "", range,
			      *range ? ")" : "");
	}
}

static void statuses_print(FILE *f)
{
	(void)fprintf(f, "\nExit status:\n");
	for (const struct exit_status *s = exit_statuses; s->meaning; s++)
		(void)fprintf(f, "  %2d  %s\n", s->status, s->meaning);
}

static void help_all(FILE *f)
{
	(void)fprintf(f, "usage: pail [--node HOST:PORT] COMMAND ...\n\nCommands:\n");
	for (const struct command *c = commands; c->name; c++) {
		char use[64];

		(void)snprintf(use, sizeof(use), "%s %s", c->name, c->args);
		(void)fprintf(f, "  %-26s %s\n", use, c->summary);
	}
	(void)fprintf(f, "\nOptions of all commands:\n");
	options_print(f, NULL, true);
	(void)fprintf(f, "\n`pail help COMMAND` tells more.  Behind -- nothing is an option.\n");
	statuses_print(f);
}

int cli_help(const struct command *command)
{
	if (!command) {
		help_all(stdout);
		return CLI_OK;
	}
	(void)printf("usage: pail %s%s%s [options]\n\n%s.\n%s%s", command->name,
		     *command->args ? " " : "", command->args, command->summary,
		     *command->help ? "\n" : "", command->help);
	if (*command->options)
		(void)printf("\nOptions:\n");
	options_print(stdout, command, false);
	(void)printf("\nOptions of all commands:\n");
	options_print(stdout, command, true);
	statuses_print(stdout);
	return CLI_OK;
}

int run_help(struct cli *c)
{
	const struct command *command = c->args ? command_find(c->arg[0]) : NULL;
	const struct command *near;

	if (!c->args || command)
		return cli_help(command);
	near = command_near(c->arg[0]);
	return cli_usage(NULL, "unknown command: %s%s%s%s", c->arg[0],
			 near ? "; did you mean " : "", near ? near->name : "", near ? "?" : "");
}

int cli_usage(const struct command *command, const char *format, ...)
{
	va_list ap;

	(void)fprintf(stderr, "pail%s%s: ", command ? " " : "", command ? command->name : "");
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fprintf(stderr, "; try pail %s%s--help\n", command ? command->name : "",
		      command ? " " : "");
	return CLI_USAGE;
}

/* ---- values ---- */

/* The bytes from `text` to the end of the word that it is in. */
static struct pail_bytes rest_of_word(const struct cli *c, const char *text)
{
	for (int i = 0; c->words.end && i < c->words.count; i++)
		if (text >= c->words.word[i] && text <= c->words.end[i])
			return (struct pail_bytes){text, (size_t)(c->words.end[i] - text)};
	return pail_str(text);
}

static bool number(const char *s, uint64_t least, uint64_t most, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(s, &end, 10);
	return *s >= '0' && *s <= '9' && !*end && !errno && *ret >= least && *ret <= most;
}

static bool form_set(struct cli *c, const char *s)
{
	c->output = !strcmp(s, "table")  ? OUTPUT_TABLE
		    : !strcmp(s, "json") ? OUTPUT_JSON
		    : !strcmp(s, "raw")  ? OUTPUT_RAW
					 : OUTPUT_DEFAULT;
	return c->output != OUTPUT_DEFAULT;
}

/* One option into *c.  CLI_OK, or CLI_USAGE with the reason said. */
static int option_set(struct cli *c, const struct command *command, const struct option_row *o,
		      const char *value)
{
	void *place = (char *)c + o->place;
	char usage[64];
	char range[128];
	char node[CLI_NODE_MAX];
	char why[200];
	uint64_t n = 0;

	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)place = true;
		return CLI_OK;
	case OPTION_TEXT:
		*(const char **)place = value;
		return CLI_OK;
	case OPTION_BYTES:
		*(struct pail_bytes *)place = rest_of_word(c, value);
		return CLI_OK;
	case OPTION_NODE:
		if (!cli_endpoint(value, node, sizeof(node), why, sizeof(why)))
			return cli_usage(command, "--%s: %s", o->name, why);
		c->node = value;
		c->admin = !strcmp(o->name, "admin");
		c->config = NULL;
		return CLI_OK;
	case OPTION_FORM:
		return form_set(c, value) ? CLI_OK
					  : cli_usage(command, "--%s %s: it must be %s", o->name,
						      value, o->help);
	default:
		break;
	}
	option_usage(o, usage, sizeof(usage), range, sizeof(range));
	if (!number(value, o->least, o->most, &n))
		return cli_usage(command, "--%s %s: it must be a number, %.*s", o->name, value,
				 (int)strcspn(range, ","), range);
	if (o->kind == OPTION_UNSIGNED)
		*(unsigned *)place = (unsigned)n;
	else
		*(unsigned long long *)place = n;
	c->q.has_if_version |= o->kind == OPTION_IF_VERSION;
	return CLI_OK;
}

/* ---- lines ---- */

struct parse {
	struct cli *c;
	const struct command *command;
	int at;    /* the next word */
	bool done; /* --help or --version: it has been answered */
};

/* The option of that name, or the only one that begins so.  NULL: there is none, or several. */
static const struct option_row *option_find(const struct parse *p, const char *name, size_t n)
{
	const struct option_row *found = NULL;
	unsigned count = 0;

	for (const struct option_row *o = option_rows; o->name; o++) {
		if (!option_is_of(o, p->command) || strncmp(o->name, name, n) != 0)
			continue;
		if (!o->name[n])
			return o;
		found = o;
		count++;
	}
	return count == 1 ? found : NULL;
}

/* Why a word that begins with - is no option here. */
static int option_unknown(const struct parse *p, const char *word)
{
	const struct command *c = p->command;
	const char *name = word + strspn(word, "-");
	size_t n = strcspn(name, "=");
	const struct option_row *near = NULL;
	unsigned least = NEAR_NOT;
	char typed[64];

	(void)snprintf(typed, sizeof(typed), "%.*s", (int)n, name);
	for (const struct option_row *o = option_rows; o->name; o++) {
		unsigned d = option_is_of(o, c) ? near_distance(typed, o->name) : NEAR_NOT;

		if (d < least) {
			least = d;
			near = o;
		}
	}
	if (word[1] == '-' && near)
		return cli_usage(c, "it takes no option %s; did you mean --%s?", word, near->name);
	if (!c)
		return cli_usage(c, "unknown option %s; those of a command come behind its name",
				 word);
	if (word[1] == '-' || !c->most)
		return cli_usage(c, "it takes no option %s", word);
	return cli_usage(c,
			 "it takes no option %s; an argument that begins with - comes behind --: "
			 "pail %s ... -- %s",
			 word, c->name, word);
}

/* The option that is found, with its value: `value` or, if NULL, the next word. */
static int option_take(struct parse *p, const struct option_row *o, const char *value)
{
	if (o->kind == OPTION_HELP || o->kind == OPTION_VERSION) {
		p->done = true;
		if (o->kind == OPTION_HELP)
			return cli_help(p->command);
		(void)printf("pail %s\n", WIRE_VERSION);
		return CLI_OK;
	}
	if (!o->value && value)
		return cli_usage(p->command, "--%s takes no value", o->name);
	if (o->value && !value && p->at == p->c->words.count)
		return cli_usage(p->command, "--%s takes a value: %s", o->name, o->value);
	if (o->value && !value)
		value = p->c->words.word[p->at++];
	return option_set(p->c, p->command, o, value);
}

static int long_take(struct parse *p, const char *word)
{
	size_t n = strcspn(word + 2, "=");
	const struct option_row *o = option_find(p, word + 2, n);

	return o ? option_take(p, o, word[2 + n] ? word + 2 + n + 1 : NULL)
		 : option_unknown(p, word);
}

/* Letters: -x, -xe, -o json, -ojson. */
static int letters_take(struct parse *p, const char *word)
{
	int r = CLI_OK;

	for (const char *letter = word + 1; *letter && r == CLI_OK && !p->done; letter++) {
		const struct option_row *o = option_rows;

		while (o->name && (o->letter != *letter || !option_is_of(o, p->command)))
			o++;
		if (!o->name)
			return option_unknown(p, word);
		r = option_take(p, o, o->value && letter[1] ? letter + 1 : NULL);
		if (o->value)
			break;
	}
	return r;
}

/* What is no option: the command, then its arguments. */
static int word_take(struct parse *p, const char *word)
{
	struct cli *c = p->c;
	const struct command *near;

	if (p->command && c->args == p->command->most)
		return cli_usage(p->command, "unexpected argument: %s", word);
	if (p->command) {
		c->bytes[c->args] = rest_of_word(c, word);
		c->arg[c->args++] = word;
		return CLI_OK;
	}
	p->command = command_find(word);
	if (p->command)
		return CLI_OK;
	near = command_near(word);
	return cli_usage(NULL, "unknown command: %s%s%s%s", word, near ? "; did you mean " : "",
			 near ? near->name : "", near ? "?" : "");
}

/* ---- bytes ---- */

int cli_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

size_t cli_unescape(char *s, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\\' && i + 3 < n && s[i + 1] == 'x' && cli_digit(s[i + 2]) >= 0 &&
		    cli_digit(s[i + 3]) >= 0) {
			s[to++] = (char)(cli_digit(s[i + 2]) << 4 | cli_digit(s[i + 3]));
			i += 3;
			continue;
		}
		i += s[i] == '\\' && i + 1 < n;
		s[to++] = s[i];
	}
	return to;
}

/* In place.  False: they are no pairs of hexadecimal digits. */
static bool hex_read(struct pail_bytes *b)
{
	char *s = (char *)(uintptr_t)b->data;

	for (size_t i = 0; i + 1 < b->size; i += 2) {
		if (cli_digit(s[i]) < 0 || cli_digit(s[i + 1]) < 0)
			return false;
		s[i / 2] = (char)(cli_digit(s[i]) << 4 | cli_digit(s[i + 1]));
	}
	if (b->size % 2)
		return false;
	b->size /= 2;
	return true;
}

static void escapes_read(struct pail_bytes *b)
{
	if (b->data)
		b->size = cli_unescape((char *)(uintptr_t)b->data, b->size);
}

/* How many of the arguments --escapes is for: files, lines and JSON have their own ways. */
static int escapes_reach(const struct cli *c, const struct command *command)
{
	if (command->run == run_import)
		return 0;
	return command->run == run_txn || (command->run == run_call && !c->raw) ? 1 : c->args;
}

/* --hex and --escapes over all that they are for. */
static int bytes_read(struct cli *c, const struct command *command)
{
	struct pail_bytes *bound[] = {&c->q.prefix, &c->q.after, &c->q.from, &c->q.to, NULL};
	bool hex = c->hex;

	if (hex && command->least > 1 && !hex_read(&c->bytes[1]))
		return cli_usage(command, "--hex: the key is no even number of hexadecimal digits");
	for (int i = 0; hex && bound[i]; i++)
		if (bound[i]->data && !hex_read(bound[i]))
			return cli_usage(command,
					 "--hex: a bound is no even number of hexadecimal digits");
	if (c->escapes)
		escapes_read(&c->as);
	for (int i = 0; c->escapes && i < escapes_reach(c, command); i++)
		if (!hex || i != 1)
			escapes_read(&c->bytes[i]);
	for (int i = 0; c->escapes && !hex && bound[i]; i++)
		escapes_read(bound[i]);
	return CLI_OK;
}

int cli_parse(struct cli *c, const struct command **ret)
{
	struct parse p = {.c = c};
	bool options = true;
	int r = CLI_OK;

	while (p.at < c->words.count && r == CLI_OK && !p.done) {
		const char *word = c->words.word[p.at++];

		if (!options || word[0] != '-' || !word[1])
			r = word_take(&p, word);
		else if (!strcmp(word, "--"))
			options = false;
		else if (word[1] == '-')
			r = long_take(&p, word);
		else
			r = letters_take(&p, word);
	}
	*ret = p.command;
	if (r != CLI_OK || p.done)
		return r;
	if (!p.command) {
		help_all(stderr);
		return CLI_USAGE;
	}
	if (c->args < p.command->least)
		return cli_usage(p.command, "it takes %s", p.command->args);
	r = bytes_read(c, p.command);
	return r == CLI_OK ? -1 : r;
}

/* ---- endpoints ---- */

bool cli_endpoint(const char *text, char *out, size_t size, char *why, size_t why_size)
{
	char endpoint[ENDPOINT_MAX];
	const char *reason = pail_endpoint_why(text);
	const char *single;

	if (!reason && out && strlen(text) >= size)
		reason = "the list is too long";
	if (reason) {
		(void)snprintf(why, why_size, "\"%.80s\": %s, it must be HOST:PORT or ipc://PATH",
			       text, reason);
		return false;
	}
	if (endpoint_check(text, ENDPOINT_CONNECT, endpoint, &single) == 0)
		text = endpoint;
	if (out)
		(void)snprintf(out, size, "%s", text);
	return true;
}
