// The steps of a program, for vectors of LANES floats: included once for each width
// and instruction set, with NAME, TARGET and SQUARE_ROOTS, of ROOTS numbers, set.

typedef float NAME(vec) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t NAME(ints) __attribute__((vector_size(LANES * 4), may_alias));
#define vec NAME(vec)
#define ints NAME(ints)
#define all NAME(all)
#define pick NAME(pick)
#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE vec all(float x) { return x - (vec){0}; } // -0 stays so
INLINE vec pick(ints mask, vec a, vec b) { return (vec)((mask & (ints)a) | (~mask & (ints)b)); }
INLINE vec NAME(magnitude)(vec x) { return (vec)((ints)x & 0x7fffffff); }
INLINE vec NAME(signed_as)(vec magnitude, vec x) { return (vec)((ints)magnitude | ((ints)x & (ints)all(-0.0f))); }

// The polynomials are least in their greatest error, by Lawson's iteration on
// Chebyshev's nodes in forty digits: testdata/polynomials.py.

// 2^n and e^r whose product is e^x, r within log(2)/2.
INLINE vec NAME(parts)(vec x, ints *n) {
	vec nearest = (x * all(1.442695041f) + all(12582912.0f)) - all(12582912.0f); // to the nearest whole number
	vec r = (x - nearest * all(0.693359375f)) + nearest * all(2.12194440e-4f);     // log(2) in two parts
	vec p = all(1.3951708e-3f);
	p = p * r + all(8.3695994e-3f);
	p = p * r + all(4.1666187e-2f);
	p = p * r + all(1.6666513e-1f);
	p = p * r + all(0.5f);
	*n = __builtin_convertvector(nearest, ints);
	return (p * r) * r + r + all(1);
}

// e^x. Below -87.3, where numbers lose digits, 0.
INLINE vec NAME(exponential)(vec x) {
	ints n;
	vec y = NAME(parts)(x, &n);
	ints half = n >> 1, rest = n - half;
	y = y * (vec)((half + 127) << 23) * (vec)((rest + 127) << 23); // 2^128 is no float, 2^64 twice is
	y = pick(x > all(88.7228394f), all(__builtin_inff()), y);
	y = pick(x < all(-87.3f), all(0), y);
	return pick(x != x, x, y);
}

// e^x for x from -80 to 80.
INLINE vec NAME(exponential_near)(vec x) {
	ints n;
	vec y = NAME(parts)(x, &n);
	return (vec)((ints)y + (n << 23));
}

// erf(x): x P(x^2) up to 1, then 1 - e^-Q(|x|), which is 1 from 4 on.
INLINE vec NAME(error_function)(vec x) {
	vec a = NAME(magnitude)(x), z = x * x;
	vec p = all(7.8538410e-5f);
	p = p * z + all(-8.0101875e-4f);
	p = p * z + all(5.1883270e-3f);
	p = p * z + all(-2.6853812e-2f);
	p = p * z + all(1.1283585e-1f);
	p = p * z + all(-3.7612626e-1f);
	p = p * z + all(1.1283792f);
	vec q = all(-1.8557884e-4f), b = pick(a > all(4), all(4), a);
	q = q * b + all(2.9396535e-3f);
	q = q * b + all(-2.1805498e-2f);
	q = q * b + all(1.0303774e-1f);
	q = q * b + all(6.3822527e-1f);
	q = q * b + all(1.1270403f);
	q = q * b + all(3.5366115e-4f);
	vec far = all(1) - NAME(exponential_near)(-q); // at 4 it is 1
	return pick(a > all(1), NAME(signed_as)(far, x), x * p); // what is no number is not above 1
}

INLINE vec NAME(root)(vec x) {
	for (int i = 0; i < LANES; i += ROOTS) SQUARE_ROOTS((float *)&x + i);
	return x;
}
INLINE vec NAME(logistic)(vec x) { return all(1) / (all(1) + NAME(exponential)(-x)); }

// tanh(x): x P(x^2) up to 0.625, then 1 - 2/(e^2|x| + 1).
INLINE vec NAME(hyperbolic)(vec x) {
	vec a = NAME(magnitude)(x), z = x * x;
	vec p = all(-5.6599655e-3f);
	p = p * z + all(2.0590965e-2f);
	p = p * z + all(-5.3721060e-2f);
	p = p * z + all(1.3331127e-1f);
	p = p * z + all(-3.3333261e-1f);
	vec near = (p * z) * x + x;
	vec far = all(1) - all(2) / (NAME(exponential)(a + a) + all(1));
	return pick(a < all(0.625f), near, NAME(signed_as)(far, x));
}

// What is no number stays so, as in ONNX Runtime's operators.
INLINE vec NAME(greater)(vec a, vec b) { return pick(a != a, a, pick(a < b, b, pick(b != b, b, a))); }
INLINE vec NAME(lesser)(vec a, vec b) { return pick(a != a, a, pick(a > b, b, pick(b != b, b, a))); }
INLINE vec NAME(positive)(vec a) { return pick(a <= all(0), all(0), a); }

#define LOAD(p) (*(const vec *)((p) + i))
#define EACH(value) for (size_t i = 0; i < n; i += LANES) *(vec *)(y + i) = value; break

// y of n elements, whole vectors.
static TARGET void NAME(step)(winnow_function f, const float *a, const float *b, size_t n, float *y) {
	switch (f) {
	case WINNOW_ADD: EACH(LOAD(a) + LOAD(b));
	case WINNOW_SUB: EACH(LOAD(a) - LOAD(b));
	case WINNOW_MUL: EACH(LOAD(a) * LOAD(b));
	case WINNOW_DIV: EACH(LOAD(a) / LOAD(b));
	case WINNOW_MAX: EACH(NAME(greater)(LOAD(a), LOAD(b)));
	case WINNOW_MIN: EACH(NAME(lesser)(LOAD(a), LOAD(b)));
	case WINNOW_NEG: EACH(-LOAD(a));
	case WINNOW_SQRT: EACH(NAME(root)(LOAD(a)));
	case WINNOW_RECIPROCAL: EACH(all(1) / LOAD(a));
	case WINNOW_RELU: EACH(NAME(positive)(LOAD(a)));
	case WINNOW_EXP: EACH(NAME(exponential)(LOAD(a)));
	case WINNOW_ERF: EACH(NAME(error_function)(LOAD(a)));
	case WINNOW_SIGMOID: EACH(NAME(logistic)(LOAD(a)));
	case WINNOW_TANH: EACH(NAME(hyperbolic)(LOAD(a)));
	case WINNOW_FUNCTIONS: break;
	}
}

#undef vec
#undef ints
#undef all
#undef pick
#undef INLINE
#undef LOAD
#undef EACH
