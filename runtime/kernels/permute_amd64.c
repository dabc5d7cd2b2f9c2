#include "permute.h"

#include <string.h>

#include "square.h"

enum {
	PIECES = 4,   // for each lane
	COLUMNS = 64, // turned at a time
	LEAST = 4096, // floats of a piece
};

int winnow_permutation_of(winnow_permutation *s, const int64_t *dims, const int64_t *perm, size_t rank, size_t lanes) {
	size_t steps[WINNOW_RANK], step = 1;
	int seen[WINNOW_RANK] = {0};
	*s = (winnow_permutation){.lanes = lanes};
	for (size_t d = rank; d-- > 0; step *= dims[d]) steps[d] = step;
	for (size_t d = 0; d < rank; d++) {
		if (perm[d] < 0 || perm[d] >= (int64_t)rank || seen[perm[d]]++) return 0;
		size_t n = dims[perm[d]], by = steps[perm[d]];
		if (n == 1) continue;
		if (s->rank && s->steps[s->rank - 1] == n * by) {
			s->dims[s->rank - 1] *= n, s->steps[s->rank - 1] = by;
			continue;
		}
		s->dims[s->rank] = n, s->steps[s->rank++] = by;
	}
	return 1;
}

// Work on the pieces of a loop over dimensions, each with a step in x and in y.
typedef struct {
	size_t rank, all, pieces; // loops, how often they run, and in how many pieces
	size_t dims[WINNOW_RANK + 1], xs[WINNOW_RANK + 1], ys[WINNOW_RANK + 1];
	size_t run;                       // floats that stay side by side
	size_t rows, line, columns, apart; // or a matrix to turn: from[row*line + column] to to[column*apart + row], COLUMNS at a time
	const float *x;
	float *y;
} work;

static __attribute__((target("avx2,fma"))) void turn(const work *w, const float *from, size_t columns, float *to) {
	size_t r = 0;
	for (; r + 8 <= w->rows; r += 8) {
		size_t c = 0;
		for (; c + 8 <= columns; c += 8) turn_square(from + r * w->line + c, w->line, to + c * w->apart + r, w->apart);
		for (; c < columns; c++)
			for (size_t i = r; i < r + 8; i++) to[c * w->apart + i] = from[i * w->line + c];
	}
	for (size_t c = 0; c < columns; c++)
		for (size_t i = r; i < w->rows; i++) to[c * w->apart + i] = from[i * w->line + c];
}

static void piece(void *arg, size_t i) {
	const work *w = arg;
	size_t at[WINNOW_RANK + 1], first = i * w->all / w->pieces, last = (i + 1) * w->all / w->pieces, x = 0, y = 0;
	for (size_t d = w->rank, left = first; d-- > 0; left /= w->dims[d]) {
		at[d] = left % w->dims[d];
		x += at[d] * w->xs[d], y += at[d] * w->ys[d];
	}
	for (; first < last; first++) {
		if (w->rows) {
			size_t column = at[w->rank - 1] * COLUMNS;
			turn(w, w->x + x, w->columns - column < COLUMNS ? w->columns - column : COLUMNS, w->y + y);
		} else if (w->run == 1)
			w->y[y] = w->x[x];
		else
			memcpy(w->y + y, w->x + x, w->run * sizeof *w->y);
		for (size_t d = w->rank; d-- > 0;) {
			x += w->xs[d], y += w->ys[d];
			if (++at[d] < w->dims[d]) break;
			x -= at[d] * w->xs[d], y -= at[d] * w->ys[d], at[d] = 0;
		}
	}
}

void winnow_permute(const winnow_permutation *s, const float *x, float *y, winnow_for each, void *pool) {
	work w = {.all = 1, .run = 1, .x = x, .y = y};
	size_t steps[WINNOW_RANK], step = 1, total, inner = s->rank, last = s->rank;
	for (size_t d = s->rank; d-- > 0; step *= s->dims[d]) {
		steps[d] = step;
		if (s->steps[d] == 1) inner = d;
	}
	total = step;
	if (!total) return;
	if (s->rank) {
		last--;
		if (inner == last) w.run = s->dims[last];
		else w.rows = s->dims[last], w.line = s->steps[last], w.columns = s->dims[inner], w.apart = steps[inner];
	}
	for (size_t d = 0; d < s->rank; d++) {
		if (d == last || d == inner) continue;
		w.dims[w.rank] = s->dims[d], w.xs[w.rank] = s->steps[d], w.ys[w.rank++] = steps[d];
	}
	if (w.rows) // the last loop is over its columns
		w.dims[w.rank] = (w.columns + COLUMNS - 1) / COLUMNS, w.xs[w.rank] = COLUMNS, w.ys[w.rank++] = COLUMNS * w.apart;
	for (size_t d = 0; d < w.rank; d++) w.all *= w.dims[d];
	w.pieces = PIECES * s->lanes;
	if (w.pieces > total / LEAST + 1) w.pieces = total / LEAST + 1;
	if (w.pieces > w.all) w.pieces = w.all;
	each(pool, piece, w.pieces, &w);
}
