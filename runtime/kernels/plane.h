// The work on a plane, a block of an image's channels, for vectors of LANES
// floats: included once for each width and instruction set, with NAME and TARGET set.

typedef float NAME(vec) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
#define vec NAME(vec)
typedef int32_t NAME(mask) __attribute__((vector_size(LANES * 4), may_alias));
#define LOAD(p) (*(const vec *)(p))

// Positions that are added up in float32 before they go on in float64.
enum { NAME(run) = 256 };

static TARGET void NAME(moments)(const float *x, size_t area, double *mean, double *square) {
	double sum[LANES] = {0};
	for (size_t i = 0; i < area;) {
		size_t until = area - i > NAME(run) ? i + NAME(run) : area;
		vec a = {0}, b = {0};
		for (; i + 2 <= until; i += 2) a += LOAD(x + i * LANES), b += LOAD(x + (i + 1) * LANES);
		if (i < until) a += LOAD(x + i++ * LANES);
		a += b;
		for (int l = 0; l < LANES; l++) sum[l] += a[l];
	}
	vec m;
	for (int l = 0; l < LANES; l++) m[l] = sum[l] / area;
	double squares[LANES] = {0}, rest[LANES] = {0}; // what rounding took from the mean
	for (size_t i = 0; i < area;) {
		size_t until = area - i > NAME(run) ? i + NAME(run) : area;
		vec a = {0}, b = {0};
		for (; i < until; i++) {
			vec d = LOAD(x + i * LANES) - m;
			a += d * d, b += d;
		}
		for (int l = 0; l < LANES; l++) squares[l] += a[l], rest[l] += b[l];
	}
	for (int l = 0; l < LANES; l++) {
		mean[l] = m[l] + rest[l] / area;
		square[l] = squares[l] - rest[l] * rest[l] / area;
	}
}

static TARGET void NAME(sums)(const float *dy, const float *x, const float *mean, size_t area, double *sum, double *product) {
	vec m = LOAD(mean);
	for (int l = 0; l < LANES; l++) sum[l] = product[l] = 0;
	for (size_t i = 0; i < area;) {
		size_t until = area - i > NAME(run) ? i + NAME(run) : area;
		vec a = {0}, b = {0}, c = {0}, d = {0};
		for (; i + 2 <= until; i += 2) {
			vec g = LOAD(dy + i * LANES), h = LOAD(dy + (i + 1) * LANES);
			a += g, b += g * (LOAD(x + i * LANES) - m);
			c += h, d += h * (LOAD(x + (i + 1) * LANES) - m);
		}
		if (i < until) {
			vec g = LOAD(dy + i * LANES);
			a += g, b += g * (LOAD(x + i++ * LANES) - m);
		}
		a += c, b += d;
		for (int l = 0; l < LANES; l++) sum[l] += a[l], product[l] += b[l];
	}
}

static TARGET void NAME(affine)(const float *x, const float *mean, const float *scale, const float *shift, const float *other, const float *times, int relu, size_t area, float *y) {
	vec m = LOAD(mean), s = LOAD(scale), t = LOAD(shift), u = {0}, zero = {0};
	if (times) u = LOAD(times);
#define EACH(value) for (size_t i = 0; i < area * LANES; i += LANES) { vec v = value; *(vec *)(y + i) = v; }
// What is no number stays so.
#define POSITIVE(value) for (size_t i = 0; i < area * LANES; i += LANES) { vec v = value; *(vec *)(y + i) = (vec)(~(v <= zero) & (NAME(mask))v); }
#define OWN ((LOAD(x + i) - m) * s + t)
	if (!other && !relu) EACH(OWN)
	else if (!other) POSITIVE(OWN)
	else if (times && !relu) EACH(OWN + u * LOAD(other + i))
	else if (times) POSITIVE(OWN + u * LOAD(other + i))
	else if (!relu) EACH(OWN + LOAD(other + i))
	else POSITIVE(OWN + LOAD(other + i))
#undef EACH
#undef POSITIVE
#undef OWN
}

static TARGET void NAME(maxpool)(const winnow_windows *o, const float *dy, const float *x, const float *y, float *dx) {
	memset(dx, 0, o->h * o->w * LANES * sizeof *dx);
	for (size_t r = 0; r < o->oh; r++)
		for (size_t c = 0; c < o->ow; c++) {
			vec top = LOAD(y + (r * o->ow + c) * LANES), g = LOAD(dy + (r * o->ow + c) * LANES);
			NAME(mask) left = ~(NAME(mask)){0};
			for (size_t i = 0; i < o->kernel[0]; i++) {
				size_t row = r * o->stride[0] + i * o->dilation[0] - o->begin[0]; // above the image it wraps around, and is too large
				if (row >= o->h) continue;
				for (size_t j = 0; j < o->kernel[1]; j++) {
					size_t column = c * o->stride[1] + j * o->dilation[1] - o->begin[1];
					if (column >= o->w) continue;
					size_t at = (row * o->w + column) * LANES;
					NAME(mask) first = (LOAD(x + at) == top) & left;
					*(vec *)(dx + at) += (vec)(first & (NAME(mask))g);
					left &= ~first;
				}
			}
		}
}

static TARGET void NAME(masked)(const float *g, const float *y, size_t area, float *out) {
	for (size_t i = 0; i < area * LANES; i += LANES) *(vec *)(out + i) = (vec)((LOAD(y + i) > 0) & (NAME(mask))LOAD(g + i));
}

#undef vec
#undef LOAD
