/* Rows of a copy's pieces as bytes. */
#include "storage/snapshot_piece.h"

#include <errno.h>

uint32_t row_write(struct buf *out, const struct row *x, uint32_t crc)
{
	static const char zeros[8];
	uint64_t size = x->fixed_size + x->a.n + x->b.n;
	const struct row_start start = {x->kind, (uint32_t)size};
	size_t at = out->len;

	check(size <= UINT32_MAX);
	buf_add(out, &start, sizeof(start));
	buf_add(out, x->fixed, x->fixed_size);
	buf_add(out, x->a.p, x->a.n);
	buf_add(out, x->b.p, x->b.n);
	buf_add(out, zeros, log_round(size) - size);
	return out->failed ? crc : crc32c(crc, out->data + at, out->len - at);
}

int row_read_next(struct span *rest, struct row *ret)
{
	static const char zeros[8];
	struct row_start start;
	uint64_t size;

	if (!rest->n)
		return 0;
	if (rest->n < sizeof(start))
		return -EBADMSG;
	memcpy(&start, rest->p, sizeof(start));
	size = sizeof(start) + log_round(start.size);
	if (!start.kind || start.kind >= ROW_KIND_END || size > rest->n ||
	    memcmp(rest->p + sizeof(start) + start.size, zeros,
		   log_round(start.size) - start.size) != 0)
		return -EBADMSG;
	*ret = (struct row){
		.kind = (enum row_kind)start.kind, .data = {rest->p + sizeof(start), start.size}
        };
	*rest = (struct span){rest->p + size, rest->n - size};
	return 1;
}

int row_fixed(const struct row *x, void *ret, size_t size, struct span *ret_rest)
{
	if (x->data.n < size)
		return -EBADMSG;
	memcpy(ret, x->data.p, size);
	*ret_rest = (struct span){x->data.p + size, x->data.n - size};
	return 0;
}
