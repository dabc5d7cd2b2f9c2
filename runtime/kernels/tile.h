// The work on one lane's tiles, for vectors of LANES floats: included once for
// each width and instruction set, with NAME and TARGET set.

typedef float NAME(vec) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
#define vec NAME(vec)
#define INNER static inline TARGET __attribute__((always_inline))

INNER vec NAME(load)(const float *p) { return *(const vec *)p; }
INNER void NAME(store)(float *p, vec v) { *(vec *)p = v; }
INNER vec NAME(all)(float f) { return f - (vec){0}; }

// B' d, six for six.
#define IMAGE(o, d0, d1, d2, d3, d4, d5) do { \
	vec a_ = d4 - Q2 * d2, b_ = P * (d3 - Q2 * d1), c_ = d4 - P2 * d2, e_ = Q * (d3 - P2 * d1); \
	o[0] = P2 * Q2 * d0 - (P2 + Q2) * d2 + d4; \
	o[1] = a_ + b_; o[2] = a_ - b_; o[3] = c_ + e_; o[4] = c_ - e_; \
	o[5] = P2 * Q2 * d1 - (P2 + Q2) * d3 + d5; } while (0)

// A' m, four for six.
#define RESULT(o, m0, m1, m2, m3, m4, m5) do { \
	vec s_ = m1 + m2, d_ = m1 - m2, t_ = m3 + m4, e_ = m3 - m4; \
	o[0] = m0 + s_ + t_; o[1] = P * d_ + Q * e_; o[2] = P2 * s_ + Q2 * t_; o[3] = P * P2 * d_ + Q * Q2 * e_ + m5; } while (0)

// A d, six for four.
#define ADJOINT(o, d0, d1, d2, d3) do { \
	vec s_ = d0 + P2 * d2, t_ = P * d1 + P * P2 * d3, u_ = d0 + Q2 * d2, v_ = Q * d1 + Q * Q2 * d3; \
	o[0] = d0; o[1] = s_ + t_; o[2] = s_ - t_; o[3] = u_ + v_; o[4] = u_ - v_; o[5] = d3; } while (0)

// G g, six for three.
#define FILTER(o, g0, g1, g2) do { \
	vec s_ = GP * (g0 + P2 * g2), t_ = GP * P * g1, u_ = GQ * (g0 + Q2 * g2), v_ = GQ * Q * g1; \
	o[0] = G0 * g0; o[1] = s_ + t_; o[2] = s_ - t_; o[3] = u_ + v_; o[4] = u_ - v_; o[5] = g2; } while (0)

// G' m, three for six.
#define TAPS(o, m0, m1, m2, m3, m4, m5) do { \
	vec s_ = m1 + m2, t_ = m3 + m4; \
	o[0] = G0 * m0 + GP * s_ + GQ * t_; \
	o[1] = GP * P * (m1 - m2) + GQ * Q * (m3 - m4); \
	o[2] = GP * P2 * s_ + GQ * Q2 * t_ + m5; } while (0)

// Transforms go by strips: the tiles of a row of an image's tiles. What is made of
// the rows of a block's strip first lies in lane, the tiles are made of its columns.

// The parts of strips from first to last, of all channels: to[part][tile][channel].
static TARGET void NAME(images)(const tiles *t, const float *x, size_t channels, size_t first, size_t last, float *to, size_t part, float *lane) {
	size_t row = t->w * LANES, wide = (t->across * TILE + 2) * LANES, blocks = channels / LANES, right = wide - t->left * LANES;
	size_t columns = (row < right ? row : right) + t->left * LANES; // that are not beyond the image or needless
	for (int i = 0; i < 6; i++) {
		memset(lane + i * wide, 0, t->left * LANES * sizeof(float));
		memset(lane + i * wide + columns, 0, (wide - columns) * sizeof(float));
	}
	for (size_t strip = first; strip < last; strip++, to += t->across * channels)
		for (size_t b = 0; b < blocks; b++) {
			const float *image = x + (strip / t->down * blocks + b) * t->h * row, *d[6];
			for (int i = 0; i < 6; i++) {
				size_t y = strip % t->down * TILE + i - t->top; // wraps where it is above
				d[i] = y < t->h ? image + y * row - t->left * LANES : t->zeros;
			}
			for (size_t j = t->left * LANES; j < columns; j += LANES) {
				vec o[6];
				IMAGE(o, NAME(load)(d[0] + j), NAME(load)(d[1] + j), NAME(load)(d[2] + j), NAME(load)(d[3] + j), NAME(load)(d[4] + j), NAME(load)(d[5] + j));
				UNROLLED for (int i = 0; i < 6; i++) NAME(store)(lane + i * wide + j, o[i]);
			}
			for (size_t i = 0; i < t->across; i++)
				for (size_t k = 0; k < 6; k++) {
					const float *p = lane + k * wide + i * TILE * LANES;
					float *q = to + 6 * k * part + i * channels + b * LANES;
					vec o[6];
					IMAGE(o, NAME(load)(p), NAME(load)(p + LANES), NAME(load)(p + 2 * LANES), NAME(load)(p + 3 * LANES), NAME(load)(p + 4 * LANES), NAME(load)(p + 5 * LANES));
					UNROLLED for (int j = 0; j < 6; j++) NAME(store)(q + j * part, o[j]);
				}
		}
}

// The same of an adjoint, of the blocks from..until of all.
static TARGET void NAME(adjoints)(const tiles *t, const float *dy, size_t channels, size_t from, size_t until, size_t first, size_t last, float *to, size_t part, float *lane) {
	size_t row = t->ow * LANES, wide = t->across * TILE * LANES, run = (until - from) * LANES;
	for (int i = 0; i < 6; i++) memset(lane + i * wide + row, 0, (wide - row) * sizeof(float));
	for (size_t strip = first; strip < last; strip++, to += t->across * run)
		for (size_t b = from; b < until; b++) {
			const float *image = dy + (strip / t->down * (channels / LANES) + b) * t->oh * row, *d[4];
			for (int i = 0; i < TILE; i++) {
				size_t y = strip % t->down * TILE + i;
				d[i] = y < t->oh ? image + y * row : t->zeros;
			}
			for (size_t j = 0; j < row; j += LANES) {
				vec o[6];
				ADJOINT(o, NAME(load)(d[0] + j), NAME(load)(d[1] + j), NAME(load)(d[2] + j), NAME(load)(d[3] + j));
				UNROLLED for (int i = 0; i < 6; i++) NAME(store)(lane + i * wide + j, o[i]);
			}
			for (size_t i = 0; i < t->across; i++)
				for (size_t k = 0; k < 6; k++) {
					const float *p = lane + k * wide + i * TILE * LANES;
					float *q = to + 6 * k * part + i * run + (b - from) * LANES;
					vec o[6];
					ADJOINT(o, NAME(load)(p), NAME(load)(p + LANES), NAME(load)(p + 2 * LANES), NAME(load)(p + 3 * LANES));
					UNROLLED for (int j = 0; j < 6; j++) NAME(store)(q + j * part, o[j]);
				}
		}
}

// Strips of y from their parts, from[part][tile][channel].
static TARGET void NAME(results)(const tiles *t, const float *from, size_t part, const float *bias, size_t channels, size_t first, size_t last, float *y, float *lane) {
	size_t row = t->ow * LANES, blocks = channels / LANES;
	for (size_t strip = first; strip < last; strip++, from += t->across * channels)
		for (size_t b = 0; b < blocks; b++) {
			size_t top = strip % t->down * TILE, rows = smaller(TILE, t->oh - top);
			float *image = y + ((strip / t->down * blocks + b) * t->oh + top) * row;
			vec shift = bias ? NAME(load)(bias + b * LANES) : NAME(all)(0);
			for (size_t i = 0; i < t->across; i++, image += TILE * LANES) {
				const float *p = from + i * channels + b * LANES;
				for (size_t j = 0; j < 6; j++, p += part) {
					vec o[4];
					RESULT(o, NAME(load)(p), NAME(load)(p + 6 * part), NAME(load)(p + 12 * part), NAME(load)(p + 18 * part), NAME(load)(p + 24 * part), NAME(load)(p + 30 * part));
					UNROLLED for (int k = 0; k < TILE; k++) NAME(store)(lane + (k * 6 + j) * LANES, o[k]);
				}
				size_t columns = smaller(TILE, t->ow - i * TILE);
				for (size_t k = 0; k < rows; k++) {
					const float *m = lane + k * 6 * LANES;
					float *q = image + k * row;
					vec o[4];
					RESULT(o, NAME(load)(m), NAME(load)(m + LANES), NAME(load)(m + 2 * LANES), NAME(load)(m + 3 * LANES), NAME(load)(m + 4 * LANES), NAME(load)(m + 5 * LANES));
					NAME(store)(q, o[0] + shift);
					if (columns > 1) NAME(store)(q + LANES, o[1] + shift);
					if (columns > 2) NAME(store)(q + 2 * LANES, o[2] + shift);
					if (columns > 3) NAME(store)(q + 3 * LANES, o[3] + shift);
				}
			}
		}
}

// A block of products in registers, six rows by one vector or two: S is one of them.
#define ROWS4(DO) DO(0) DO(1) DO(2) DO(3)
#define ROWS6(DO) ROWS4(DO) DO(4) DO(5)

// m[6 rows][wide] = v[6 rows][depth] u[depth][wide], wide being one vector or two.
#define ZERO1(i) vec a##i = NAME(all)(0);
#define ZERO2(i) ZERO1(i) vec b##i = NAME(all)(0);
#define MORE1(i) { vec f = NAME(all)(v[i * apart]); a##i += f * fa; }
#define MORE2(i) { vec f = NAME(all)(v[i * apart]); a##i += f * fa; b##i += f * fb; }
#define PUT1(i) NAME(store)(m + i * stride, a##i);
#define PUT2(i) PUT1(i) NAME(store)(m + i * stride + LANES, b##i);
static TARGET void NAME(product2)(const float *v, size_t apart, const float *u, float *m, size_t stride) {
	ROWS6(ZERO2)
	for (const float *end = v + apart; v < end; v++, u += 2 * LANES) {
		vec fa = NAME(load)(u), fb = NAME(load)(u + LANES);
		ROWS6(MORE2)
	}
	ROWS6(PUT2)
}
static TARGET void NAME(product1)(const float *v, size_t apart, const float *u, float *m, size_t stride) {
	ROWS6(ZERO1)
	for (const float *end = v + apart; v < end; v++, u += LANES) {
		vec fa = NAME(load)(u);
		ROWS6(MORE1)
	}
	ROWS6(PUT1)
}

// m[rows][wide] += the sum over tiles of v[tile][rows] d[tile][wide].
#define GET1(i) vec a##i = NAME(load)(m + i * stride);
#define GET2(i) GET1(i) vec b##i = NAME(load)(m + i * stride + LANES);
#define OUTER(name, ROWS, W) \
static TARGET void NAME(name)(const float *v, size_t next, const float *d, size_t count, float *m, size_t stride) { \
	enum { apart = 1 }; \
	ROWS(GET##W) \
	for (size_t t = 0; t < count; t++, v += next, d += stride) { \
		vec fa = NAME(load)(d), fb = W > 1 ? NAME(load)(d + LANES * (W - 1)) : fa; \
		(void)fb; \
		ROWS(MORE##W) \
	} \
	ROWS(PUT##W) \
}
OUTER(outer62, ROWS6, 2)
OUTER(outer42, ROWS4, 2)
OUTER(outer61, ROWS6, 1)
OUTER(outer41, ROWS4, 1)

static TARGET void NAME(multiply)(const float *v, size_t depth, const float *u, float *m, size_t wide, size_t rows) {
	for (size_t k = 0; k < wide;) {
		size_t run = wide - k >= 2 * LANES ? 2 * LANES : LANES;
		for (size_t t = 0; t < rows; t += 6)
			(run > LANES ? NAME(product2) : NAME(product1))(v + t * depth, depth, u, m + t * wide + k, wide);
		u += depth * run;
		k += run;
	}
}

static TARGET void NAME(accumulate)(const float *v, size_t rows, const float *d, size_t wide, size_t count, float *m) {
	for (size_t k = 0; k < wide;) {
		int two = wide - k >= 2 * LANES;
		for (size_t c = 0; c < rows;) {
			size_t left = rows - c; // a multiple of 4, which are sixes and one or two fours
			int six = left % 6 == 0 || left > 8;
			if (six)
				(two ? NAME(outer62) : NAME(outer61))(v + c, rows, d + k, count, m + c * wide + k, wide);
			else
				(two ? NAME(outer42) : NAME(outer41))(v + c, rows, d + k, count, m + c * wide + k, wide);
			c += six ? 6 : 4;
		}
		k += two ? 2 * LANES : LANES;
	}
}

// Parts of the filters to channels k.. of a panel: u[part][c][wide]; taps lie tap apart, filters to the next k next.
static TARGET void NAME(panel)(const float *filter, size_t depth, size_t toNext, size_t toDeeper, int turned, size_t run, float *u, size_t part) {
	for (size_t c = 0; c < depth; c++, filter += toDeeper, u += run)
		for (size_t k = 0; k < run; k += LANES) {
			vec g[9], r[18];
			for (int tap = 0; tap < 9; tap++) {
				const float *p = filter + k * toNext + (turned ? 8 - tap : tap);
				for (int i = 0; i < LANES; i++) g[tap][i] = p[i * toNext];
			}
			for (int j = 0; j < 3; j++) {
				vec o[6];
				FILTER(o, g[j], g[3 + j], g[6 + j]);
				for (int i = 0; i < 6; i++) r[i * 3 + j] = o[i];
			}
			float *p = u + k;
			for (int i = 0; i < 6; i++) {
				vec o[6];
				FILTER(o, r[i * 3], r[i * 3 + 1], r[i * 3 + 2]);
				for (int j = 0; j < 6; j++, p += part) NAME(store)(p, o[j]);
			}
		}
}

// The filter's channels k..k+LANES, c from its sums m[part][c][wide], in groups group apart, added up in order.
static TARGET void NAME(gather)(const float *m, size_t part, size_t groups, size_t group, float *filter, size_t toNext) {
	vec s[36], r[18];
	for (int i = 0; i < 36; i++, m += part) {
		s[i] = NAME(load)(m);
		for (size_t g = 1; g < groups; g++) s[i] += NAME(load)(m + g * group);
	}
	for (int j = 0; j < 6; j++) {
		vec o[3];
		TAPS(o, s[j], s[6 + j], s[12 + j], s[18 + j], s[24 + j], s[30 + j]);
		for (int i = 0; i < 3; i++) r[i * 6 + j] = o[i];
	}
	for (int i = 0; i < 3; i++) {
		vec o[3];
		TAPS(o, r[i * 6], r[i * 6 + 1], r[i * 6 + 2], r[i * 6 + 3], r[i * 6 + 4], r[i * 6 + 5]);
		for (int j = 0; j < 3; j++)
			for (int l = 0; l < LANES; l++) filter[l * toNext + i * 3 + j] = o[j][l];
	}
}

#undef vec
#undef INNER
#undef IMAGE
#undef RESULT
#undef ADJOINT
#undef FILTER
#undef TAPS
#undef ROWS4
#undef ROWS6
#undef ZERO1
#undef ZERO2
#undef MORE1
#undef MORE2
#undef PUT1
#undef PUT2
#undef GET1
#undef GET2
#undef OUTER
