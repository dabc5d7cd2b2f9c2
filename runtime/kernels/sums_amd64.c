#include "sums.h"

enum {
	GROUP = 64,   // rows at a time at least
	GROUPS = 32,  // at most
	CHUNK = 512,  // columns at a time
	WIDE = 64,    // of them in registers
};

typedef float vec __attribute__((vector_size(32), aligned(4), may_alias));

typedef struct {
	const winnow_matrix *s;
	size_t groups, chunks;
	const float *x;
	float *y, *sums; // of each group
} work;

static size_t pieces(size_t n, size_t of) { return (n + of - 1) / of; }

static work work_of(const winnow_matrix *s) {
	work w = {.s = s, .chunks = pieces(s->columns, CHUNK)};
	w.groups = s->rows / GROUP < GROUPS ? s->rows / GROUP : GROUPS;
	if (!w.groups) w.groups = 1;
	return w;
}

size_t winnow_column_sums_scratch(const winnow_matrix *s) {
	work w = work_of(s);
	return (w.groups > 1 ? w.groups * s->columns : 1) * sizeof(float);
}

// The sums of columns from..until of rows, each of them line apart.
static __attribute__((target("avx2,fma"))) void columns(const float *x, size_t line, size_t rows, size_t from, size_t until, float *y) {
	size_t c = from;
	for (; c + WIDE <= until; c += WIDE) {
		vec a[WIDE / 8] = {{0}};
		const float *p = x + c;
		for (size_t r = 0; r < rows; r++, p += line)
			_Pragma("GCC unroll 8") for (int i = 0; i < WIDE / 8; i++) a[i] += *(const vec *)(p + i * 8);
		_Pragma("GCC unroll 8") for (int i = 0; i < WIDE / 8; i++) *(vec *)(y + c + i * 8) = a[i];
	}
	for (; c + 8 <= until; c += 8) {
		vec a = {0};
		for (size_t r = 0; r < rows; r++) a += *(const vec *)(x + r * line + c);
		*(vec *)(y + c) = a;
	}
	for (; c < until; c++) {
		float a = 0;
		for (size_t r = 0; r < rows; r++) a += x[r * line + c];
		y[c] = a;
	}
}

static void group(void *arg, size_t i) {
	const work *w = arg;
	const winnow_matrix *s = w->s;
	size_t g = i / w->chunks, from = i % w->chunks * CHUNK, until = from + CHUNK < s->columns ? from + CHUNK : s->columns;
	size_t first = g * s->rows / w->groups, last = (g + 1) * s->rows / w->groups;
	columns(w->x + first * s->columns, s->columns, last - first, from, until, w->groups > 1 ? w->sums + g * s->columns : w->y);
}

static void groups(void *arg, size_t i) {
	const work *w = arg;
	const winnow_matrix *s = w->s;
	columns(w->sums, s->columns, w->groups, i * CHUNK, (i + 1) * CHUNK < s->columns ? (i + 1) * CHUNK : s->columns, w->y);
}

void winnow_column_sums(const winnow_matrix *s, const float *x, float *y, void *scratch, winnow_for each, void *pool) {
	work w = work_of(s);
	w.x = x, w.y = y, w.sums = scratch;
	each(pool, group, w.groups * w.chunks, &w);
	if (w.groups > 1) each(pool, groups, w.chunks, &w);
}
