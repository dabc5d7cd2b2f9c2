#include "channel.h"

#include <string.h>

enum { SUMS = 32 }; // that are taken apart and then added up, of all blocks

#define LANES 8
#define NAME(x) x##_channel2
#define TARGET __attribute__((target("avx2,fma")))
#include "channel_plane.h"
#undef LANES
#undef NAME
#undef TARGET
#define LANES 16
#define NAME(x) x##_channel5
#define TARGET __attribute__((target("avx512f")))
#include "channel_plane.h"
#undef NAME
#undef TARGET
#define NAME(x) x##_channels // the same layout where there is no AVX-512, for tests
#define TARGET __attribute__((target("avx2,fma")))
#include "channel_plane.h"
#undef LANES
#undef NAME
#undef TARGET

typedef struct {
	const winnow_images *s;
	const winnow_windows *o;
	void (*sum)(const winnow_windows *, const float *, const float *, float *);
	size_t blocks, groups, size; // groups of images, floats of a block's sums
	const float *x, *dy;
	float *filter, *sums;
} work;

static work work_of(const winnow_images *s, const winnow_windows *o) {
	work w = {.s = s, .o = o, .blocks = s->c / s->block, .size = o->kernel[0] * o->kernel[1] * s->block};
	w.sum = s->block == 8 ? filter_channel2 : __builtin_cpu_supports("avx512f") ? filter_channel5 : filter_channels;
	w.groups = (SUMS + w.blocks - 1) / w.blocks;
	if (w.groups > s->n) w.groups = s->n;
	return w;
}

size_t winnow_channel_filter_scratch(const winnow_images *s, const winnow_windows *o) {
	work w = work_of(s, o);
	return (w.blocks * w.groups * w.size + 1) * sizeof(float);
}

static void sum_group(void *arg, size_t i) {
	const work *w = arg;
	const winnow_windows *o = w->o;
	size_t block = i / w->groups, group = i % w->groups, b = w->s->block;
	float *sums = w->sums + i * w->size;
	memset(sums, 0, w->size * sizeof *sums);
	for (size_t n = group * w->s->n / w->groups; n < (group + 1) * w->s->n / w->groups; n++) {
		size_t plane = n * w->blocks + block;
		w->sum(o, w->x + plane * o->h * o->w * b, w->dy + plane * o->oh * o->ow * b, sums);
	}
}

static void add_groups(void *arg, size_t block) {
	const work *w = arg;
	size_t b = w->s->block, taps = w->size / b;
	const float *sums = w->sums + block * w->groups * w->size;
	for (size_t t = 0; t < taps; t++)
		for (size_t l = 0; l < b; l++) {
			float sum = 0;
			for (size_t g = 0; g < w->groups; g++) sum += sums[g * w->size + t * b + l];
			w->filter[(block * b + l) * taps + t] = sum;
		}
}

void winnow_channel_filter(const winnow_images *s, const winnow_windows *o, const float *x, const float *dy, float *filter, void *scratch, winnow_for each, void *pool) {
	work w = work_of(s, o);
	w.x = x, w.dy = dy, w.filter = filter, w.sums = scratch;
	each(pool, sum_group, w.blocks * w.groups, &w);
	each(pool, add_groups, w.blocks, &w);
}
