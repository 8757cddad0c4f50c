#include "tests/replica/net.h"

#include <string.h>

struct net net;

void net_begin(void)
{
	memset(&net, 0, sizeof(net));
}

void net_cut(uint32_t a, uint32_t b, uint64_t us)
{
	if (net.cut_until[a][b] < world.now + us)
		net.cut_until[a][b] = world.now + us;
	count(COUNT_CUTS);
}

void net_island(uint32_t node, uint64_t us)
{
	for (uint32_t other = AT_AGREEMENT; other <= NODES; other++) {
		if (other == node)
			continue;
		net_cut(node, other, us);
		net_cut(other, node, us);
	}
}

void net_heal(void)
{
	memset(&net, 0, sizeof(net));
}

bool net_is_cut(uint32_t a, uint32_t b)
{
	return world.now < net.cut_until[a][b];
}

uint64_t net_delay(void)
{
	uint32_t r = chance_below(1000);

	if (world.calm)
		return chance_range(100, 500);
	if (net.slow && r < 300)
		return chance_range(50 * MS, 1800 * MS);
	if (r < 10)
		return chance_range(20 * MS, 900 * MS);
	return chance_range(300, 3 * MS);
}

void net_send(uint32_t a, uint32_t b, event_run *run, void *who, uint64_t arg, void *bytes)
{
	if (net_is_cut(a, b) || (net.lossy && chance_ppm(25 * PERCENT))) {
		if (bytes)
			give(bytes);
		return;
	}
	world_after(net_delay(), run, who, arg, bytes);
}
