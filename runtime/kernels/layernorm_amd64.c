#include "layernorm.h"

#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx2,fma")))

// Sums over rows are taken in so many parts, however many threads there are, so
// that their number changes no bit.
enum { PARTS = 32 };

typedef float vec __attribute__((vector_size(32), aligned(4), may_alias));

#define LOAD(p) (*(const vec *)((p) + j))

static inline __attribute__((always_inline)) TARGET float total(vec a) {
	return ((a[0] + a[4]) + (a[1] + a[5])) + ((a[2] + a[6]) + (a[3] + a[7]));
}

typedef struct {
	const winnow_rows *s;
	const float *x, *dy, *scale, *bias, *means, *inverses;
	float epsilon, *y, *mean, *inverse, *sums; // sums of each part: of dy*xhat, then of dy
	size_t parts;
} work;

TARGET static void forward(void *arg, size_t part) {
	const work *w = arg;
	size_t d = w->s->d, whole = d / 8 * 8;
	for (size_t r = part * w->s->rows / w->parts; r < (part + 1) * w->s->rows / w->parts; r++) {
		const float *x = w->x + r * d;
		float *y = w->y + r * d;
		vec a = {0};
		float sum = 0, square = 0;
		for (size_t j = 0; j < whole; j += 8) a += LOAD(x);
		for (size_t j = whole; j < d; j++) sum += x[j];
		float mean = (total(a) + sum) / d;
		a = (vec){0};
		for (size_t j = 0; j < whole; j += 8) a += (LOAD(x) - mean) * (LOAD(x) - mean);
		for (size_t j = whole; j < d; j++) square += (x[j] - mean) * (x[j] - mean);
		float inverse = 1 / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss((total(a) + square) / d + w->epsilon)));
		w->mean[r] = mean, w->inverse[r] = inverse;
		if (w->bias) {
			for (size_t j = 0; j < whole; j += 8) *(vec *)(y + j) = (LOAD(x) - mean) * inverse * LOAD(w->scale) + LOAD(w->bias);
			for (size_t j = whole; j < d; j++) y[j] = (x[j] - mean) * inverse * w->scale[j] + w->bias[j];
		} else {
			for (size_t j = 0; j < whole; j += 8) *(vec *)(y + j) = (LOAD(x) - mean) * inverse * LOAD(w->scale);
			for (size_t j = whole; j < d; j++) y[j] = (x[j] - mean) * inverse * w->scale[j];
		}
	}
}

static work work_of(const winnow_rows *s) { return (work){.s = s, .parts = s->rows < PARTS ? s->rows : PARTS}; }

void winnow_layernorm(const winnow_rows *s, const float *x, const float *scale, const float *bias, float epsilon, float *y, float *mean, float *inverse,
	winnow_for each, void *pool) {
	work w = work_of(s);
	w.x = x, w.scale = scale, w.bias = bias, w.epsilon = epsilon, w.y = y, w.mean = mean, w.inverse = inverse;
	each(pool, forward, w.parts, &w);
}

size_t winnow_layernorm_scratch(const winnow_rows *s) { return 2 * PARTS * s->d * sizeof(float); }

// h = dy*scale: dx = inverse*(h - mean(h) - xhat*mean(h*xhat)), dscale = sum(dy*xhat), dbias = sum(dy).
TARGET static void backward(void *arg, size_t part) {
	const work *w = arg;
	size_t d = w->s->d, whole = d / 8 * 8;
	float *product = w->sums + 2 * part * d, *sum = product + d;
	memset(product, 0, 2 * d * sizeof *product);
	for (size_t r = part * w->s->rows / w->parts; r < (part + 1) * w->s->rows / w->parts; r++) {
		const float *x = w->x + r * d, *dy = w->dy + r * d;
		float *dx = w->y + r * d, mean = w->means[r], inverse = w->inverses[r], first = 0, second = 0;
		vec a = {0}, b = {0};
		for (size_t j = 0; j < whole; j += 8) {
			vec xhat = (LOAD(x) - mean) * inverse, g = LOAD(dy), h = g * LOAD(w->scale);
			a += h, b += h * xhat;
			*(vec *)(product + j) = LOAD(product) + g * xhat;
			*(vec *)(sum + j) = LOAD(sum) + g;
		}
		for (size_t j = whole; j < d; j++) {
			float xhat = (x[j] - mean) * inverse, h = dy[j] * w->scale[j];
			first += h, second += h * xhat;
			product[j] += dy[j] * xhat, sum[j] += dy[j];
		}
		first = (total(a) + first) / d, second = (total(b) + second) / d;
		for (size_t j = 0; j < whole; j += 8) {
			vec xhat = (LOAD(x) - mean) * inverse;
			*(vec *)(dx + j) = inverse * (LOAD(dy) * LOAD(w->scale) - first - xhat * second);
		}
		for (size_t j = whole; j < d; j++) dx[j] = inverse * (dy[j] * w->scale[j] - first - (x[j] - mean) * inverse * second);
	}
}

void winnow_layernorm_grad(const winnow_rows *s, const float *dy, const float *x, const float *scale, const float *mean, const float *inverse, float *dx,
	float *dscale, float *dbias, void *scratch, winnow_for each, void *pool) {
	work w = work_of(s);
	w.dy = dy, w.x = x, w.scale = scale, w.means = mean, w.inverses = inverse, w.y = dx, w.sums = scratch;
	each(pool, backward, w.parts, &w);
	memset(dscale, 0, s->d * sizeof *dscale);
	memset(dbias, 0, s->d * sizeof *dbias);
	for (size_t p = 0; p < w.parts; p++)
		for (size_t j = 0; j < s->d; j++) {
			dscale[j] += w.sums[2 * p * s->d + j];
			dbias[j] += w.sums[(2 * p + 1) * s->d + j];
		}
}
