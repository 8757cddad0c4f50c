/* POSTs over libcurl's multi interface. */
#include "agent/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/buf.h"
#include "common/check.h"

#define ANSWER_MAX  (32u << 20) /* bytes: some ten thousand keys with large values */
#define CONNECTIONS 8L          /* kept when idle */

struct post {
	struct post *next; /* all that are on their way */
	struct post **link;
	CURL *easy;
	struct curl_slist *headers;
	char *body;
	size_t size;
	size_t sent;
	bool asked; /* libcurl has taken some of the body */
	bool once;  /* and it will not get it again */
	bool lost;  /* it wanted to */
	struct buf answer;
	char why[CURL_ERROR_SIZE];
	http_ended *ended;
	void *arg;
};

struct http {
	CURLM *multi;
	struct http_options options;
	struct post *posts;
};

static size_t body_read(char *to, size_t one, size_t n, void *arg)
{
	struct post *x = arg;
	size_t k = one * n;

	x->asked = true;
	if (k > x->size - x->sent)
		k = x->size - x->sent;
	memcpy(to, x->body + x->sent, k);
	x->sent += k;
	return k;
}

/*
 * Called where libcurl sends all again, since a connection that was kept has been closed without an
 * answer.  It does not end the transfer by itself then, but waits for its time to be over.
 */
static int body_seek(void *arg, curl_off_t offset, int origin)
{
	struct post *x = arg;

	x->lost = x->once;
	if (x->once || origin != SEEK_SET || offset < 0 || (size_t)offset > x->size)
		return CURL_SEEKFUNC_FAIL;
	x->sent = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

static size_t answer_write(char *from, size_t one, size_t n, void *arg)
{
	struct post *x = arg;

	if (x->answer.len + one * n > ANSWER_MAX)
		return 0;
	buf_add(&x->answer, from, one * n);
	return x->answer.failed ? 0 : one * n;
}

static void post_free(struct http *h, struct post *x)
{
	if (x->link) {
		*x->link = x->next;
		if (x->next)
			x->next->link = x->link;
		(void)curl_multi_remove_handle(h->multi, x->easy);
	}
	curl_easy_cleanup(x->easy);
	curl_slist_free_all(x->headers);
	free(x->body);
	buf_fini(&x->answer);
	free(x);
}

int http_new(const struct http_options *o, struct http **ret)
{
	struct http *h = calloc(1, sizeof(*h));

	if (!h || curl_global_init(CURL_GLOBAL_DEFAULT)) {
		free(h);
		return -ENOMEM;
	}
	h->options = *o;
	h->multi = curl_multi_init();
	if (!h->multi) {
		http_free(&h);
		return -ENOMEM;
	}
	(void)curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS);
	(void)curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	*ret = h;
	return 0;
}

void http_free(struct http **x)
{
	struct http *h = *x;

	*x = NULL;
	if (!h)
		return;
	while (h->posts)
		post_free(h, h->posts);
	(void)curl_multi_cleanup(h->multi);
	curl_global_cleanup();
	free(h);
}

/* True: all of it holds. */
static bool secure(CURL *e, const struct http_options *o)
{
	return (!o->ca || !curl_easy_setopt(e, CURLOPT_CAINFO, o->ca)) &&
	       (!o->cert || !curl_easy_setopt(e, CURLOPT_SSLCERT, o->cert)) &&
	       (!o->cert_key || !curl_easy_setopt(e, CURLOPT_SSLKEY, o->cert_key)) &&
	       !curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
	       !curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L) &&
	       !curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
}

static bool headers_add(struct post *x, const char *token)
{
	static const char *const fixed[] = {"Content-Type: application/json", "Expect:"};
	char line[1024];

	(void)snprintf(line, sizeof(line), "Authorization: %s", token ? token : "");
	for (unsigned i = 0; i < (token ? 3 : 2); i++) {
		struct curl_slist *l = curl_slist_append(x->headers, i < 2 ? fixed[i] : line);

		if (!l)
			return false;
		x->headers = l;
	}
	return true;
}

/* No proxy, whatever the environment says, and no redirection. */
static bool prepare(struct http *h, struct post *x, const char *url)
{
	CURL *e = x->easy;

	return !curl_easy_setopt(e, CURLOPT_URL, url) &&
	       !curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") &&
	       !curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       !curl_easy_setopt(e, CURLOPT_PROXY, "") && !curl_easy_setopt(e, CURLOPT_POST, 1L) &&
	       !curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->size) &&
	       !curl_easy_setopt(e, CURLOPT_READFUNCTION, body_read) &&
	       !curl_easy_setopt(e, CURLOPT_READDATA, x) &&
	       !curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, body_seek) &&
	       !curl_easy_setopt(e, CURLOPT_SEEKDATA, x) &&
	       !curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, answer_write) &&
	       !curl_easy_setopt(e, CURLOPT_WRITEDATA, x) &&
	       !curl_easy_setopt(e, CURLOPT_HTTPHEADER, x->headers) &&
	       !curl_easy_setopt(e, CURLOPT_ERRORBUFFER, x->why) &&
	       !curl_easy_setopt(e, CURLOPT_PRIVATE, x) &&
	       !curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) &&
	       !curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)h->options.connect_ms) &&
	       !curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)h->options.answer_ms) &&
	       secure(e, &h->options);
}

int http_post(struct http *h, const char *url, char *body, const struct http_how *how,
	      http_ended *ended, void *arg)
{
	struct post *x = calloc(1, sizeof(*x));

	if (!x) {
		free(body);
		return -ENOMEM;
	}
	x->body = body;
	x->size = strlen(body);
	x->once = how->once;
	x->ended = ended;
	x->arg = arg;
	buf_init(&x->answer);
	x->easy = curl_easy_init();
	if (!x->easy || !headers_add(x, how->token) || !prepare(h, x, url) ||
	    curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, how->fresh ? 1L : 0L) ||
	    curl_multi_add_handle(h->multi, x->easy)) {
		post_free(h, x);
		return -ENOMEM;
	}
	x->next = h->posts;
	x->link = &h->posts;
	if (x->next)
		x->next->link = &x->next;
	h->posts = x;
	return 0;
}

static void post_end(struct http *h, struct post *x, CURLcode code)
{
	struct http_result r = {.sent = x->asked, .body = x->answer.data, .n = x->answer.len};
	curl_socket_t fd = CURL_SOCKET_BAD;
	long status = 0;

	check(x->link);
	if (code == CURLE_OK)
		(void)curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	r.status = (int)status;
	if (x->lost)
		r.why = "the connection was closed without an answer";
	else
		r.why = x->why[0] ? x->why : curl_easy_strerror(code);
	if (!x->ended(x->arg, &r) &&
	    curl_easy_getinfo(x->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK &&
	    fd != CURL_SOCKET_BAD)
		(void)shutdown(fd, SHUT_RDWR); /* libcurl sees it before it uses it again */
	post_free(h, x);
}

static struct post *lost_find(struct http *h)
{
	struct post *x = h->posts;

	/* The analyzer loses sight of `link`, by which post_free takes them out. */
	while (x && !x->lost) /* NOLINT(clang-analyzer-unix.Malloc) */
		x = x->next;
	return x;
}

/* Who is told of one may have asked for more, or given others up: from the first one on. */
static bool lost_end(struct http *h)
{
	struct post *x;
	bool some = false;

	while ((x = lost_find(h))) {
		post_end(h, x, CURLE_SEND_FAIL_REWIND);
		some = true;
	}
	return some;
}

/* Whether something ended: the caller may have more to ask. */
static bool step(struct http *h)
{
	bool some = false;
	int running;
	int left;
	CURLMsg *m;

	(void)curl_multi_perform(h->multi, &running);
	while ((m = curl_multi_info_read(h->multi, &left))) {
		struct post *x;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&x);
		post_end(h, x, m->data.result);
		some = true;
	}
	return lost_end(h) || some;
}

void http_step(struct http *h, int fd, int ms)
{
	struct curl_waitfd also = {.fd = fd, .events = CURL_WAIT_POLLIN};

	if (step(h))
		ms = 0;
	(void)curl_multi_poll(h->multi, &also, 1, ms, NULL);
	(void)step(h);
}
