#include "norm.h"

#include <string.h>

enum { PIECES = 4 }; // of a lane's work, so that a lane that is held up leaves some to others

#define LANES 8
#define NAME(x) x##_plane2
#define TARGET __attribute__((target("avx2,fma")))
#include "plane.h"
#undef LANES
#undef NAME
#undef TARGET
#define LANES 16
#define NAME(x) x##_plane5
#define TARGET __attribute__((target("avx512f")))
#include "plane.h"
#undef NAME
#undef TARGET
#define NAME(x) x##_planes // the same layout where there is no AVX-512, for tests
#define TARGET __attribute__((target("avx2,fma")))
#include "plane.h"
#undef LANES
#undef NAME
#undef TARGET

typedef struct {
	void (*moments)(const float *, size_t, double *, double *);
	void (*sums)(const float *, const float *, const float *, size_t, double *, double *);
	void (*affine)(const float *, const float *, const float *, const float *, const float *, const float *, int, size_t, float *);
	void (*masked)(const float *, const float *, size_t, float *);
	void (*maxpool)(const winnow_windows *, const float *, const float *, const float *, float *);
} width;

static const width avx2 = {moments_plane2, sums_plane2, affine_plane2, masked_plane2, maxpool_plane2},
				   avx512 = {moments_plane5, sums_plane5, affine_plane5, masked_plane5, maxpool_plane5},
				   pairs = {moments_planes, sums_planes, affine_planes, masked_planes, maxpool_planes};

static const width *width_of(const winnow_images *s) {
	if (s->block == 8) return &avx2;
	return __builtin_cpu_supports("avx512f") ? &avx512 : &pairs;
}

typedef struct {
	const winnow_images *s;
	const width *f;
	size_t pieces, planes, blocks;
	const float *x, *dy, *mean, *scale, *shift, *times, *other;
	float *y, *first, *second; // results
	double *firsts, *seconds;  // of each plane
	const winnow_windows *windows;
	int relu;
} work;

static work work_of(const winnow_images *s, void *scratch) {
	work w = {.s = s, .f = width_of(s), .blocks = s->c / s->block};
	w.planes = s->n * w.blocks;
	w.pieces = w.planes < PIECES * s->lanes ? w.planes : PIECES * s->lanes;
	w.firsts = scratch;
	w.seconds = w.firsts ? w.firsts + s->n * s->c : NULL;
	return w;
}

size_t winnow_sums_scratch(const winnow_images *s) { return 2 * s->n * s->c * sizeof(double); }

static void moments_piece(void *arg, size_t i) {
	work *w = arg;
	size_t b = w->s->block;
	for (size_t p = i * w->planes / w->pieces; p < (i + 1) * w->planes / w->pieces; p++)
		w->f->moments(w->x + p * w->s->area * b, w->s->area, w->firsts + p * b, w->seconds + p * b);
}

static void moments_block(void *arg, size_t block) {
	work *w = arg;
	size_t b = w->s->block, n = w->s->n;
	for (size_t l = 0; l < b; l++) {
		const double *means = w->firsts + block * b + l, *squares = w->seconds + block * b + l;
		double sum = 0, square = 0;
		for (size_t i = 0; i < n; i++) sum += means[i * w->s->c];
		double mean = sum / n;
		for (size_t i = 0; i < n; i++) {
			double d = means[i * w->s->c] - mean;
			square += squares[i * w->s->c] + d * d * w->s->area;
		}
		w->first[block * b + l] = mean;
		w->second[block * b + l] = square / ((double)n * w->s->area);
	}
}

void winnow_moments(const winnow_images *s, const float *x, float *mean, float *variance, void *scratch, winnow_for each, void *pool) {
	work w = work_of(s, scratch);
	w.x = x, w.first = mean, w.second = variance;
	each(pool, moments_piece, w.pieces, &w);
	each(pool, moments_block, w.blocks, &w);
}

static void sums_piece(void *arg, size_t i) {
	work *w = arg;
	size_t b = w->s->block, run = w->s->area * b;
	for (size_t p = i * w->planes / w->pieces; p < (i + 1) * w->planes / w->pieces; p++)
		w->f->sums(w->dy + p * run, w->x + p * run, w->mean + p % w->blocks * b, w->s->area, w->firsts + p * b, w->seconds + p * b);
}

static void sums_block(void *arg, size_t block) {
	work *w = arg;
	size_t b = w->s->block;
	for (size_t l = 0; l < b; l++) {
		double sum = 0, product = 0;
		for (size_t i = 0; i < w->s->n; i++) {
			sum += w->firsts[i * w->s->c + block * b + l];
			product += w->seconds[i * w->s->c + block * b + l];
		}
		w->first[block * b + l] = sum;
		w->second[block * b + l] = product;
	}
}

void winnow_norm_sums(const winnow_images *s, const float *dy, const float *x, const float *mean, float *sum, float *product, void *scratch,
	winnow_for each, void *pool) {
	work w = work_of(s, scratch);
	w.dy = dy, w.x = x, w.mean = mean, w.first = sum, w.second = product;
	each(pool, sums_piece, w.pieces, &w);
	each(pool, sums_block, w.blocks, &w);
}

static void affine_piece(void *arg, size_t i) {
	work *w = arg;
	size_t b = w->s->block, run = w->s->area * b;
	for (size_t p = i * w->planes / w->pieces; p < (i + 1) * w->planes / w->pieces; p++) {
		size_t c = p % w->blocks * b;
		w->f->affine(w->x + p * run, w->mean + c, w->scale + c, w->shift + c, w->other ? w->other + p * run : NULL,
			w->times ? w->times + c : NULL, w->relu, w->s->area, w->y + p * run);
	}
}

void winnow_affine(const winnow_images *s, const float *x, const float *mean, const float *scale, const float *shift, const float *other,
	const float *times, int relu, float *y, winnow_for each, void *pool) {
	work w = work_of(s, NULL);
	w.x = x, w.mean = mean, w.scale = scale, w.shift = shift, w.other = other, w.times = times, w.relu = relu, w.y = y;
	each(pool, affine_piece, w.pieces, &w);
}

static void masked_piece(void *arg, size_t i) {
	work *w = arg;
	size_t run = w->s->area * w->s->block;
	for (size_t p = i * w->planes / w->pieces; p < (i + 1) * w->planes / w->pieces; p++)
		w->f->masked(w->dy + p * run, w->x + p * run, w->s->area, w->y + p * run);
}

void winnow_masked(const winnow_images *s, const float *g, const float *y, float *out, winnow_for each, void *pool) {
	work w = work_of(s, NULL);
	w.dy = g, w.x = y, w.y = out;
	each(pool, masked_piece, w.pieces, &w);
}

static void maxpool_piece(void *arg, size_t i) {
	work *w = arg;
	size_t b = w->s->block, in = w->windows->h * w->windows->w * b, out = w->windows->oh * w->windows->ow * b;
	for (size_t p = i * w->planes / w->pieces; p < (i + 1) * w->planes / w->pieces; p++)
		w->f->maxpool(w->windows, w->dy + p * out, w->x + p * in, w->other + p * out, w->y + p * in);
}

void winnow_maxpool_grad(const winnow_images *s, const winnow_windows *o, const float *dy, const float *x, const float *y, float *dx, winnow_for each,
	void *pool) {
	work w = work_of(s, NULL);
	w.windows = o, w.dy = dy, w.x = x, w.other = y, w.y = dx;
	each(pool, maxpool_piece, w.pieces, &w);
}
