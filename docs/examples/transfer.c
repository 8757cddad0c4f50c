/*
 * A small program on libpail: move an amount from one account to another, so that nobody ever sees
 * it on both or on neither, and nothing is lost to whoever does the same at the same time.
 *
 *	cc transfer.c $(pkg-config --cflags --libs pail) -o transfer
 *	pail create bank; pail put bank ann 100; pail put bank bob 0
 *	./transfer tcp://127.0.0.1:4040 bank ann bob 30
 */
#include <inttypes.h>
#include <pail.h>
#include <stdio.h>
#include <stdlib.h>

struct account {
	const char *name;
	long balance;
	uint64_t version;
};

static int look(struct pail *p, const char *bank, struct account *a)
{
	struct pail_result *r;
	char text[32];
	int status = pail_get(p, pail_str(bank), pail_str(a->name), &r);

	if (status != PAIL_OK)
		return status;
	/* Values are bytes: no NUL ends them. */
	snprintf(text, sizeof(text), "%.*s", (int)r->value.size, (const char *)r->value.data);
	a->balance = strtol(text, NULL, 10);
	a->version = r->version;
	pail_result_free(&r);
	return PAIL_OK;
}

/* Add to `t`: if the account is still as it was looked at, it gets another balance. */
static void change(struct pail_txn *t, const struct account *a, long by)
{
	char balance[32];

	snprintf(balance, sizeof(balance), "%ld", a->balance + by);
	pail_txn_if_version(t, pail_str(a->name), PAIL_EQUAL, a->version);
	pail_txn_put(t, PAIL_THEN, pail_str(a->name), pail_str(balance), 0);
}

/* One try.  *ret_done: it was not in vain. */
static int transfer(struct pail *p, const char *bank, struct pail_txn *t, struct account *from,
		    struct account *to, long amount, bool *ret_done)
{
	struct pail_result *r = NULL;
	int status = look(p, bank, from);

	if (status == PAIL_OK)
		status = look(p, bank, to);
	if (status != PAIL_OK)
		return status;
	pail_txn_clear(t);
	change(t, from, -amount);
	change(t, to, amount);
	status = pail_txn_run(p, pail_str(bank), t, &r); /* whatever was refused above, it says */
	if (status == PAIL_OK)
		*ret_done = r->yes;
	pail_result_free(&r);
	return status;
}

int main(int argc, char **argv)
{
	struct pail_txn *t = NULL;
	struct pail *p = NULL;
	bool done = false;
	int status;

	if (argc != 6) {
		fprintf(stderr, "usage: transfer ENDPOINT BUCKET FROM TO AMOUNT\n");
		return 2;
	}
	status = pail_open(argv[1], NULL, &p);
	if (status == PAIL_OK)
		status = pail_txn_new(&t);
	while (status == PAIL_OK && !done) {
		struct account from = {.name = argv[3]};
		struct account to = {.name = argv[4]};

		status = transfer(p, argv[2], t, &from, &to, strtol(argv[5], NULL, 10), &done);
	}
	if (status != PAIL_OK)
		fprintf(stderr, "%s: %s\n", pail_status_name(status), p ? pail_why(p) : argv[1]);
	pail_txn_free(&t);
	pail_close(&p);
	return status != PAIL_OK;
}
