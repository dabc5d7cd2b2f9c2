#include "filter.h"

#include <string.h>

#include "square.h"

enum { PIECES = 4 };

typedef struct {
	const winnow_filters *s;
	const float *from;
	float *to;
	size_t pieces, all; // blocks of filters times blocks of channels
} work;

static __attribute__((target("avx2,fma"))) void blocks(void *arg, size_t piece) {
	const work *w = arg;
	const winnow_filters *s = w->s;
	size_t b = s->block, ks = s->k / b, cs = s->c / b, line = s->c * s->taps;
	for (size_t at = piece * w->all / w->pieces; at < (piece + 1) * w->all / w->pieces; at++) {
		// as it is the inner blocks are of channels, turned of filters
		size_t inner = s->turned ? ks : cs, group = at / (ks * cs), outer = at / inner % (ks * cs / inner), other = at % inner;
		const float *from = w->from + (group * s->k + (s->turned ? other : outer) * b) * line + (s->turned ? outer : other) * b * s->taps;
		float *to = w->to + at * s->taps * b * b;
		for (size_t t = 0; t < s->taps; t++) {
			float *tap = to + (s->turned ? s->taps - 1 - t : t) * b * b;
			if (s->taps == 1) { // runs of channels
				for (size_t k = 0; k < b; k += 8)
					for (size_t c = 0; c < b; c += 8) {
						if (!s->turned) turn_square(from + k * line + c, line, tap + c * b + k, b);
						else for (size_t i = k; i < k + 8; i++) memcpy(tap + i * b + c, from + i * line + c, 8 * sizeof *tap);
					}
			} else if (s->turned) {
				for (size_t k = 0; k < b; k++)
					for (size_t c = 0; c < b; c++) tap[k * b + c] = from[k * line + c * s->taps + t];
			} else {
				for (size_t c = 0; c < b; c++)
					for (size_t k = 0; k < b; k++) tap[c * b + k] = from[k * line + c * s->taps + t];
			}
		}
	}
}

void winnow_filter_blocks(const winnow_filters *s, const float *filter, float *to, winnow_for each, void *pool) {
	work w = {.s = s, .from = filter, .to = to, .all = s->groups * (s->k / s->block) * (s->c / s->block)};
	w.pieces = w.all < PIECES * s->lanes ? w.all : PIECES * s->lanes;
	each(pool, blocks, w.pieces, &w);
}
