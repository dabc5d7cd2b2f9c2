#include "winograd.h"

#include <stdatomic.h>
#include <string.h>

enum {
	TILE = 4,
	PARTS = 36,
	ROWS = 6,         // tiles of a product in registers
	LINE = 16,        // floats of a cache line, between the parts, which would else meet in the same sets
	FEW = 24,         // tiles at a time, where channels are many, or those of one strip
	MANY = 48,        // and where they are few
	MANY_BELOW = 48,  // channels
	LONG = 96,        // tiles at a time where sums over tiles are large
	LONG_FROM = 128,  // channels
	LEAST_GROUPS = 4, // of tiles, for sums of their own
	MOST_GROUPS = 16,
	GROUP_FLOATS = 150000, // that all may take
	LANE_FLOATS = 1 << 26, // that all lanes may take, however many threads there are
};

// The points of the filtering are 0, P, -P, Q, -Q and infinity. What a point is
// raised to by the transforms has no rounding, and sums are off by 0.4 times as much as
// with 1 and 2, by norm, the least of nine sets that were tried (Barabasz and others, Error
// Analysis and Improving the Accuracy of Winograd Convolution, 2020, on why).
#define P 0.625f
#define Q 1.5f
#define P2 (P * P)
#define Q2 (Q * Q)
#define G0 (1 / (P2 * Q2)) // the factors of the filter's rows
#define GP (1 / (2 * P2 * (P2 - Q2)))
#define GQ (1 / (2 * Q2 * (Q2 - P2)))

typedef struct {
	size_t h, w, oh, ow, top, left;
	size_t across, down, strips; // tiles in a strip, strips of an image, and of all
	const float *zeros;          // a row
} tiles;

static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static tiles tiles_of(const winnow_conv *s) {
	size_t down = (s->oh + TILE - 1) / TILE;
	return (tiles){s->h, s->w, s->oh, s->ow, s->top, s->left, (s->ow + TILE - 1) / TILE, down, s->n * down, NULL};
}

static size_t pieces(size_t n, size_t of) { return (n + of - 1) / of; }

#define UNROLLED _Pragma("GCC unroll 6")

#define LANES 8
#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#include "tile.h"
#undef LANES
#undef NAME
#undef TARGET
#define LANES 16
#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f")))
#include "tile.h"
#undef NAME
#undef TARGET
#define NAME(x) x##_pairs // the same layout where there is no AVX-512, for tests
#define TARGET __attribute__((target("avx2,fma")))
#include "tile.h"
#undef LANES
#undef NAME
#undef TARGET

// A width's functions.
typedef struct {
	void (*images)(const tiles *, const float *, size_t, size_t, size_t, float *, size_t, float *);
	void (*adjoints)(const tiles *, const float *, size_t, size_t, size_t, size_t, size_t, float *, size_t, float *);
	void (*results)(const tiles *, const float *, size_t, const float *, size_t, size_t, size_t, float *, float *);
	void (*multiply)(const float *, size_t, const float *, float *, size_t, size_t);
	void (*accumulate)(const float *, size_t, const float *, size_t, size_t, float *);
	void (*panel)(const float *, size_t, size_t, size_t, int, size_t, float *, size_t);
	void (*gather)(const float *, size_t, size_t, size_t, float *, size_t);
} width;

#define WIDTH(x) {images_##x, adjoints_##x, results_##x, multiply_##x, accumulate_##x, panel_##x, gather_##x}
static const width avx2 = WIDTH(avx2), avx512 = WIDTH(avx512), pairs = WIDTH(pairs);

static const width *width_of(const winnow_conv *s) {
	if (s->block == 8) return &avx2;
	return __builtin_cpu_supports("avx512f") ? &avx512 : &pairs;
}

int winnow_conv_supported(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

// A row of zeros, for what is beyond an image, and a lane's strip.
static size_t row_floats(const winnow_conv *s, const tiles *t) { return (t->across * TILE + 2) * s->block; }
static size_t strip_floats(const winnow_conv *s, const tiles *t) { return 6 * row_floats(s, t); }

// How many strips are worked on at a time.
static size_t step_of(const tiles *t, size_t want) { return want > t->across ? want / t->across : 1; }

// How many parts of the work run at a time, each with so many floats of its own.
static size_t lanes_of(const winnow_conv *s, size_t each) {
	size_t most = LANE_FLOATS / each;
	return most < 1 ? 1 : smaller(s->lanes, most);
}

static void clear_row(const winnow_conv *s, tiles *t, float *row) {
	memset(row, 0, row_floats(s, t) * sizeof(float));
	t->zeros = row;
}

// Forward: u is the filter's parts; each lane has those of a few strips, of the
// image (v) and of what comes out (m).
typedef struct {
	const winnow_conv *s;
	const width *f;
	tiles t;
	size_t step, upart, vpart, mpart, lane; // strips, floats of a part and of a lane
	const float *x, *filter, *bias;
	float *y, *u, *lanes;
	atomic_size_t next;
} forward;

static forward forward_of(const winnow_conv *s) {
	forward w = {.s = s, .f = width_of(s), .t = tiles_of(s)};
	w.step = step_of(&w.t, s->c < MANY_BELOW && s->k < MANY_BELOW ? MANY : FEW);
	size_t most = pieces(w.step * w.t.across, ROWS) * ROWS;
	w.upart = s->c * s->k;
	w.vpart = most * s->c + LINE;
	w.mpart = most * s->k + LINE;
	w.lane = PARTS * (w.vpart + w.mpart) + strip_floats(s, &w.t);
	return w;
}

size_t winnow_conv_scratch(const winnow_conv *s) {
	forward w = forward_of(s);
	return (row_floats(s, &w.t) + PARTS * w.upart + lanes_of(s, w.lane) * w.lane) * sizeof(float);
}

static void filter_parts(void *arg, size_t i) {
	forward *w = arg;
	const winnow_conv *s = w->s;
	size_t wide = 2 * s->block, k = i * wide, run = smaller(wide, s->k - k);
	size_t toNext = s->turned ? 9 : s->c * 9, toDeeper = s->turned ? s->k * 9 : 9;
	w->f->panel(w->filter + k * toNext, s->c, toNext, toDeeper, s->turned, run, w->u + k * s->c, w->upart);
}

static void forward_lane(void *arg, size_t i) {
	forward *w = arg;
	const winnow_conv *s = w->s;
	float *v = w->lanes + i * w->lane, *m = v + PARTS * w->vpart, *strip = m + PARTS * w->mpart;
	for (;;) {
		size_t first = atomic_fetch_add_explicit(&w->next, w->step, memory_order_relaxed);
		if (first >= w->t.strips) return;
		size_t last = smaller(first + w->step, w->t.strips), count = (last - first) * w->t.across, whole = pieces(count, ROWS) * ROWS;
		w->f->images(&w->t, w->x, s->c, first, last, v, w->vpart, strip);
		for (size_t p = 0; p < PARTS; p++) {
			float *vp = v + p * w->vpart;
			memset(vp + count * s->c, 0, (whole - count) * s->c * sizeof(float));
			w->f->multiply(vp, s->c, w->u + p * w->upart, m + p * w->mpart, s->k, whole);
		}
		w->f->results(&w->t, m, w->mpart, w->bias, s->k, first, last, w->y, strip);
	}
}

void winnow_conv_run(const winnow_conv *s, const float *x, const float *filter, const float *bias, float *y, void *scratch,
	winnow_for each, void *pool) {
	forward w = forward_of(s);
	w.x = x, w.filter = filter, w.bias = bias, w.y = y;
	clear_row(s, &w.t, scratch);
	w.u = (float *)scratch + row_floats(s, &w.t);
	w.lanes = w.u + PARTS * w.upart;
	each(pool, filter_parts, pieces(s->k, 2 * s->block), &w);
	each(pool, forward_lane, smaller(lanes_of(s, w.lane), pieces(w.t.strips, w.step)), &w);
}

// Gradient of a filter: sums over tiles of parts of the image (v) times parts of
// the adjoint (d). Where sums are small, groups of tiles have each their own,
// added up in the end; where they are large, lanes share the adjoint's channels.
typedef struct {
	const winnow_conv *s;
	const width *f;
	tiles t;
	size_t step, groups, shares; // strips at a time, groups of tiles, parts of channels
	size_t vpart, lane, sum;     // floats of a part of the image, of a lane, of a group's sums
	const float *x, *dy;
	float *filter, *sums, *lanes;
	atomic_size_t next;
} gradient;

// A share of the adjoint's channels, and where a group's sums of it are: [part][c][wide].
typedef struct {
	size_t from, until, wide, part; // blocks, channels, floats
	float *sums;
} share;

static gradient gradient_of(const winnow_conv *s) {
	gradient w = {.s = s, .f = width_of(s), .t = tiles_of(s), .shares = 1};
	w.step = step_of(&w.t, s->c >= LONG_FROM || s->k >= LONG_FROM ? LONG : MANY);
	w.groups = GROUP_FLOATS / (PARTS * s->c * s->k);
	if (w.groups < LEAST_GROUPS) {
		w.groups = 1;
		w.shares = smaller(s->lanes, s->k / s->block);
	}
	w.groups = smaller(smaller(w.groups, MOST_GROUPS), pieces(w.t.strips, w.step));
	if (w.groups == 0) w.groups = 1; // no images: sums of nothing
	w.sum = PARTS * (s->c * s->k + w.shares * LINE);
	w.vpart = w.step * w.t.across * s->c + LINE;
	w.lane = PARTS * (w.vpart + w.step * w.t.across * s->k + LINE) + strip_floats(s, &w.t);
	return w;
}

size_t winnow_filter_scratch(const winnow_conv *s) {
	gradient w = gradient_of(s);
	return (row_floats(s, &w.t) + w.groups * w.sum + lanes_of(s, w.lane) * w.lane) * sizeof(float);
}

static share share_of(const gradient *w, size_t i) {
	size_t blocks = w->s->k / w->s->block;
	share r = {i * blocks / w->shares, (i + 1) * blocks / w->shares, 0, 0, NULL};
	r.wide = (r.until - r.from) * w->s->block;
	r.part = r.wide * w->s->c + LINE;
	r.sums = w->sums + PARTS * (r.from * w->s->block * w->s->c + i * LINE);
	return r;
}

static void sum_tiles(const gradient *w, float *lane, size_t first, size_t last, share to) {
	const winnow_conv *s = w->s;
	size_t dpart = w->step * w->t.across * to.wide + LINE;
	float *v = lane, *d = v + PARTS * w->vpart, *strip = d + PARTS * dpart;
	memset(to.sums, 0, PARTS * to.part * sizeof(float));
	for (; first < last; first += w->step) {
		size_t until = smaller(first + w->step, last), count = (until - first) * w->t.across;
		w->f->images(&w->t, w->x, s->c, first, until, v, w->vpart, strip);
		w->f->adjoints(&w->t, w->dy, s->k, to.from, to.until, first, until, d, dpart, strip);
		for (size_t p = 0; p < PARTS; p++)
			w->f->accumulate(v + p * w->vpart, s->c, d + p * dpart, to.wide, count, to.sums + p * to.part);
	}
}

static void gradient_lane(void *arg, size_t i) {
	gradient *w = arg;
	size_t chunks = pieces(w->t.strips, w->step);
	for (;;) {
		size_t job = atomic_fetch_add_explicit(&w->next, 1, memory_order_relaxed), g = job / w->shares;
		if (g >= w->groups) return;
		share to = share_of(w, job % w->shares);
		to.sums += g * w->sum;
		sum_tiles(w, w->lanes + i * w->lane, g * chunks / w->groups * w->step, smaller((g + 1) * chunks / w->groups * w->step, w->t.strips), to);
	}
}

// The filters of a channel that goes in.
static void gather_channel(void *arg, size_t c) {
	gradient *w = arg;
	const winnow_conv *s = w->s;
	for (size_t i = 0; i < w->shares; i++) {
		share of = share_of(w, i);
		for (size_t k = 0; k < of.wide; k += s->block)
			w->f->gather(of.sums + c * of.wide + k, of.part, w->groups, w->sum, w->filter + ((of.from * s->block + k) * s->c + c) * 9, s->c * 9);
	}
}

void winnow_filter_run(const winnow_conv *s, const float *x, const float *dy, float *filter, void *scratch, winnow_for each, void *pool) {
	gradient w = gradient_of(s);
	w.x = x, w.dy = dy, w.filter = filter;
	clear_row(s, &w.t, scratch);
	w.sums = (float *)scratch + row_floats(s, &w.t);
	w.lanes = w.sums + w.groups * w.sum;
	each(pool, gradient_lane, smaller(lanes_of(s, w.lane), w.groups * w.shares), &w);
	each(pool, gather_channel, s->c, &w);
}
