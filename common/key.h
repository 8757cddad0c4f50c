/*
 * Keys as people keep them: a pair of CURVE (ZeroMQ RFC 26), written in Z85 (RFC 32), in a file of
 * its own.  What the bytes mean is ipc/net/curve.h's, also whether the public key is the secret
 * one's.
 *
 *	name = shop
 *	public = 7kV…
 *	secret = q2W…
 *	server = rd!…           a client's only, twice at most: the nodes that it will believe
 *
 * The first = of a line ends its word; blanks (spaces and tabs) around word and value count for
 * nothing.  Each line comes once, server excepted, in any order; an empty line, and one whose first
 * character is #, is passed over; # anywhere else is text, since Z85 has it.  Lines end with a
 * newline, the last one may lack it; any other control character is an error, so is CR.
 */
#ifndef PAIL_KEY_H
#define PAIL_KEY_H

#include <stdbool.h>
#include <stddef.h>

#define KEY_BYTES       32u
#define KEY_TEXT        40u /* the same in Z85 */
#define KEY_NAME_MAX    63u
#define KEY_SERVERS_MAX 2u /* the node's key now, and the one that is to follow it */
#define KEY_FILE_MAX    4096u

struct key_file {
	char name[KEY_NAME_MAX + 1];
	char public[KEY_TEXT + 1];
	char secret[KEY_TEXT + 1];
	char server[KEY_SERVERS_MAX][KEY_TEXT + 1];
	unsigned servers;
};

/*
 * Is it 40 characters of Z85 that stand for 32 bytes?  (Some do not: five of them can be more than
 * 32 bits.)  So each key has one text, and two are the same key if their texts are.
 */
bool key_text_is(const char *text, size_t n);

/*
 * Is it a name for who has a key?  NULL, or what is wrong with it: `is empty`, say.  Narrower than
 * names of nodes, printable ASCII and no /, since it stands in replies and names a file.
 */
const char *key_name_check(const char *name);

/*
 * Read one.  It must be a plain file that none but its owner can read or write (a symbolic link is
 * followed, what it leads to is judged); in the folder of systemd's credentials
 * ($CREDENTIALS_DIRECTORY) its group may read it, since there those bits stand for who runs the
 * service.  0, or negative errno with `why` naming file, line and reason, and *ret as it was;
 * nothing of a secret is ever in `why`, nor of any other line, since a secret may have got there.
 *
 * -EACCES: others may use it, or this process may not; -EMEDIUMTYPE: no plain file; -EFBIG: longer
 * than KEY_FILE_MAX; -EINVAL: what is in it; or whatever open(2) and read(2) say.
 */
int key_file_read(const char *path, struct key_file *ret, char *why, size_t why_size);

/* The same for text that is here already: 0 or -EINVAL.  `file` is what `why` calls it. */
int key_file_parse(const char *text, size_t n, const char *file, struct key_file *ret, char *why,
		   size_t why_size);

/*
 * Write one, mode 0600 whatever the umask is, synced, never over anything that is there, be it a
 * link to nowhere (-EEXIST).  0, or negative errno with `why`, and no file is left of it; -EINVAL:
 * it could not be read again, as without a name.
 */
int key_file_write(const char *path, const struct key_file *k, char *why, size_t why_size);

/* Overwrite what is secret, in a way that no compiler leaves out; the rest stays. */
void key_file_forget(struct key_file *k);

#endif
