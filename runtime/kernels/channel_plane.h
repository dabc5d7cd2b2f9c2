// Sums over a plane, a block of an image's channels, for vectors of LANES floats:
// included once for each width and instruction set, with NAME and TARGET set.

typedef float NAME(vec) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
#define vec NAME(vec)
#define LOAD(p) (*(const vec *)(p))

// sums[j] += the sum over columns from..until of g times the column of x that tap j meets there,
// for W taps, all of which meet one.
#define ROW(W) \
static inline TARGET __attribute__((always_inline)) void NAME(row##W)(const float *x, size_t stride, size_t dilation, const float *g, size_t columns, float *sums) { \
	vec a[W] = {{0}}; \
	for (; columns; columns--, x += stride, g += LANES) { \
		vec v = LOAD(g); \
		_Pragma("GCC unroll 8") for (int j = 0; j < W; j++) a[j] += v * LOAD(x + j * dilation); \
	} \
	_Pragma("GCC unroll 8") for (int j = 0; j < W; j++) *(vec *)(sums + j * LANES) += a[j]; \
}
ROW(1) ROW(3) ROW(5) ROW(7)

// sums[tap] += over all positions of dy.
static TARGET void NAME(filter)(const winnow_windows *o, const float *x, const float *dy, float *sums) {
	size_t wide = o->kernel[1], stride = o->stride[1], dilation = o->dilation[1], begin = o->begin[1], reach = (wide - 1) * dilation;
	size_t from = (begin + stride - 1) / stride, until = o->w + begin > reach ? (o->w + begin - reach - 1) / stride + 1 : 0; // where all taps meet the image
	if (until > o->ow) until = o->ow;
	if (until < from) from = until = 0;
	for (size_t r = 0; r < o->oh; r++)
		for (size_t i = 0; i < o->kernel[0]; i++) {
			size_t row = r * o->stride[0] + i * o->dilation[0] - o->begin[0]; // above the image it wraps around, and is too large
			if (row >= o->h) continue;
			const float *line = x + row * o->w * LANES, *g = dy + r * o->ow * LANES;
			float *to = sums + i * wide * LANES;
			for (size_t c = 0; c < o->ow; c++) { // beside the middle
				if (c == from) c = until;
				if (c >= o->ow) break;
				for (size_t j = 0; j < wide; j++) {
					size_t column = c * stride + j * dilation - begin;
					if (column < o->w) *(vec *)(to + j * LANES) += LOAD(g + c * LANES) * LOAD(line + column * LANES);
				}
			}
			if (from == until) continue;
			line += (from * stride - begin) * LANES, g += from * LANES;
			size_t step = stride * LANES, next = dilation * LANES, columns = until - from;
			switch (wide) {
			case 3: NAME(row3)(line, step, next, g, columns, to); break;
			case 5: NAME(row5)(line, step, next, g, columns, to); break;
			case 7: NAME(row7)(line, step, next, g, columns, to); break;
			default:
				for (size_t j = 0; j < wide; j++) NAME(row1)(line + j * next, step, next, g, columns, to + j * LANES);
			}
		}
}

#undef vec
#undef LOAD
#undef ROW
