#include "elementwise.h"

#include <string.h>

#define TARGET __attribute__((target("avx2,fma")))
#define INLINE static inline __attribute__((always_inline)) TARGET

enum { TILE = 256, PIECES = 4, VALUES = WINNOW_INPUTS + WINNOW_STEPS };
enum { least = 1 << 15 }; // steps times elements that are worth a thread

typedef float vec __attribute__((vector_size(32), aligned(4), may_alias));
typedef float whole __attribute__((vector_size(32)));
typedef int32_t ints __attribute__((vector_size(32), may_alias));

INLINE vec all(float x) { return (vec){x, x, x, x, x, x, x, x}; }
INLINE vec pick(ints mask, vec a, vec b) { return (vec)((mask & (ints)a) | (~mask & (ints)b)); }
INLINE vec magnitude(vec x) { return (vec)((ints)x & 0x7fffffff); }
INLINE vec signed_as(vec magnitude, vec x) { return (vec)((ints)magnitude | ((ints)x & (ints)all(-0.0f))); }

// The polynomials are least in their greatest error, by Lawson's iteration on
// Chebyshev's nodes in forty digits: testdata/polynomials.py.

// 2^n and e^r whose product is e^x, r within log(2)/2.
INLINE vec parts(vec x, ints *n) {
	vec whole = (x * all(1.442695041f) + all(12582912.0f)) - all(12582912.0f); // to the nearest whole number
	vec r = (x - whole * all(0.693359375f)) + whole * all(2.12194440e-4f);     // log(2) in two parts
	vec p = all(1.3951708e-3f);
	p = p * r + all(8.3695994e-3f);
	p = p * r + all(4.1666187e-2f);
	p = p * r + all(1.6666513e-1f);
	p = p * r + all(0.5f);
	*n = __builtin_convertvector(whole, ints);
	return (p * r) * r + r + all(1);
}

// e^x. Below -87.3, where numbers lose digits, 0.
INLINE vec exponential(vec x) {
	ints n;
	vec y = parts(x, &n);
	ints half = n >> 1, rest = n - half;
	y = y * (vec)((half + 127) << 23) * (vec)((rest + 127) << 23); // 2^128 is no float, 2^64 twice is
	y = pick(x > all(88.7228394f), all(__builtin_inff()), y);
	y = pick(x < all(-87.3f), all(0), y);
	return pick(x != x, x, y);
}

// e^x for x from -80 to 80.
INLINE vec exponential_near(vec x) {
	ints n;
	vec y = parts(x, &n);
	return (vec)((ints)y + (n << 23));
}

// erf(x): x P(x^2) up to 1, then 1 - e^-Q(|x|), which is 1 from 4 on.
INLINE vec error_function(vec x) {
	vec a = magnitude(x), z = x * x;
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
	vec far = all(1) - exponential_near(-q); // at 4 it is 1
	return pick(a > all(1), signed_as(far, x), x * p); // what is no number is not above 1
}

INLINE vec root(vec x) { return (vec)__builtin_ia32_sqrtps256((whole)x); }
INLINE vec logistic(vec x) { return all(1) / (all(1) + exponential(-x)); }

// tanh(x): x P(x^2) up to 0.625, then 1 - 2/(e^2|x| + 1).
INLINE vec hyperbolic(vec x) {
	vec a = magnitude(x), z = x * x;
	vec p = all(-5.6599655e-3f);
	p = p * z + all(2.0590965e-2f);
	p = p * z + all(-5.3721060e-2f);
	p = p * z + all(1.3331127e-1f);
	p = p * z + all(-3.3333261e-1f);
	vec near = (p * z) * x + x;
	vec far = all(1) - all(2) / (exponential(a + a) + all(1));
	return pick(a < all(0.625f), near, signed_as(far, x));
}

// What is no number stays so, as in ONNX Runtime's operators.
INLINE vec greater(vec a, vec b) { return pick(a != a, a, pick(a < b, b, pick(b != b, b, a))); }
INLINE vec lesser(vec a, vec b) { return pick(a != a, a, pick(a > b, b, pick(b != b, b, a))); }
INLINE vec positive(vec a) { return pick(a <= all(0), all(0), a); }

#define LOAD(p) (*(const vec *)((p) + i))
#define EACH(value) for (size_t i = 0; i < n; i += 8) *(vec *)(y + i) = value; break

// y of n elements, whole vectors.
TARGET static void step(winnow_function f, const float *a, const float *b, size_t n, float *y) {
	switch (f) {
	case WINNOW_ADD: EACH(LOAD(a) + LOAD(b));
	case WINNOW_SUB: EACH(LOAD(a) - LOAD(b));
	case WINNOW_MUL: EACH(LOAD(a) * LOAD(b));
	case WINNOW_DIV: EACH(LOAD(a) / LOAD(b));
	case WINNOW_MAX: EACH(greater(LOAD(a), LOAD(b)));
	case WINNOW_MIN: EACH(lesser(LOAD(a), LOAD(b)));
	case WINNOW_NEG: EACH(-LOAD(a));
	case WINNOW_SQRT: EACH(root(LOAD(a)));
	case WINNOW_RECIPROCAL: EACH(all(1) / LOAD(a));
	case WINNOW_RELU: EACH(positive(LOAD(a)));
	case WINNOW_EXP: EACH(exponential(LOAD(a)));
	case WINNOW_ERF: EACH(error_function(LOAD(a)));
	case WINNOW_SIGMOID: EACH(logistic(LOAD(a)));
	case WINNOW_TANH: EACH(hyperbolic(LOAD(a)));
	case WINNOW_FUNCTIONS: break;
	}
}

int winnow_program_read(winnow_program *p, size_t inputs, const int64_t *steps, size_t numbers, const int64_t *outputs, size_t count) {
	if (!inputs || inputs > WINNOW_INPUTS || !numbers || numbers % 3 || numbers / 3 > WINNOW_STEPS || !count || count > WINNOW_OUTPUTS) return 0;
	*p = (winnow_program){.inputs = inputs, .steps = numbers / 3, .outputs = count};
	for (size_t i = 0; i < p->steps; i++) {
		int64_t f = steps[3 * i], a = steps[3 * i + 1], b = steps[3 * i + 2], values = inputs + i;
		if (f < 0 || f >= WINNOW_FUNCTIONS || a < 0 || a >= values || b < 0 || b >= values) return 0;
		p->step[i].f = f, p->step[i].a = a, p->step[i].b = b;
	}
	for (size_t i = 0; i < count; i++) {
		if (outputs[i] < (int64_t)inputs || outputs[i] >= (int64_t)(inputs + p->steps)) return 0;
		p->output[i] = outputs[i];
		for (size_t j = 0; j < i; j++)
			if (outputs[j] == outputs[i]) return 0;
	}
	return 1;
}

int winnow_operand_of(winnow_operand *o, const int64_t *dims, size_t rank, const int64_t *whole, size_t wholeRank) {
	if (rank > wholeRank) return 0;
	size_t skip = wholeRank - rank;
	int state = 0; // before, within and behind the dimensions that the operand has
	o->inner = o->period = 1;
	for (size_t i = wholeRank; i-- > 0;) {
		int64_t d = i < skip ? 1 : dims[i - skip];
		if (whole[i] == 1 && d == 1) continue;
		if (d == whole[i] && state < 2) state = 1, o->period *= d;
		else if (d == 1 && state == 0) o->inner *= whole[i];
		else if (d == 1) state = 2;
		else return 0;
	}
	return 1;
}

// A run of a program.
typedef struct {
	const winnow_program *p;
	size_t n, pieces;
	const winnow_operand *inputs;
	float *const *outputs;
	float *at[VALUES];              // where a value lies as a whole, NULL where it does not
	unsigned char slot[VALUES];     // else its place in a tile's memory
	size_t slots;
} run;

// Elements from i on of an operand that is less than a whole.
static void spread(const winnow_operand *o, size_t i, size_t n, float *y) {
	if (o->inner == 1 && o->period > 1) {
		size_t at = i % o->period;
		for (size_t done = 0; done < n;) {
			size_t some = o->period - at < n - done ? o->period - at : n - done;
			memcpy(y + done, o->data + at, some * sizeof *y);
			done += some, at = 0;
		}
		return;
	}
	size_t at = i / o->inner % o->period, left = o->inner - i % o->inner;
	for (size_t done = 0; done < n;) {
		size_t some = left < n - done ? left : n - done;
		float v = o->data[at];
		for (size_t j = 0; j < some; j++) y[done + j] = v;
		done += some, left = o->inner;
		if (++at == o->period) at = 0;
	}
}

// Gives values their places: a slot is free again behind the last step that reads it.
static void place(run *r) {
	const winnow_program *p = r->p;
	size_t last[VALUES] = {0};
	for (size_t i = 0; i < p->inputs; i++)
		if (r->inputs[i].inner == 1 && r->inputs[i].period == r->n) r->at[i] = (float *)r->inputs[i].data;
	for (size_t i = 0; i < p->outputs; i++) r->at[p->output[i]] = r->outputs[i];
	for (size_t i = 0; i < p->steps; i++) last[p->step[i].a] = last[p->step[i].b] = i + 1;
	for (size_t i = 0; i < p->inputs; i++)
		if (!r->at[i]) r->slot[i] = r->slots++;
	unsigned char free[VALUES];
	size_t frees = 0;
	for (size_t i = 0; i < p->steps; i++) {
		size_t y = p->inputs + i;
		if (!r->at[y]) r->slot[y] = frees ? free[--frees] : r->slots++;
		size_t read[2] = {p->step[i].a, p->step[i].b};
		for (size_t j = 0; j < 2; j++)
			if (read[j] >= p->inputs && !r->at[read[j]] && last[read[j]] == i + 1 && (j == 0 || read[1] != read[0])) free[frees++] = r->slot[read[j]];
	}
}

static void piece(void *arg, size_t i) {
	const run *r = arg;
	const winnow_program *p = r->p;
	float memory[VALUES][TILE] __attribute__((aligned(64)));
	size_t vectors = r->n / 8, from = i * vectors / r->pieces * 8, until = (i + 1) * vectors / r->pieces * 8;
	for (size_t j = 0; j < p->inputs; j++)
		if (!r->at[j] && r->inputs[j].period == 1) spread(&r->inputs[j], 0, TILE, memory[r->slot[j]]);
	for (size_t at = from; at < until; at += TILE) {
		size_t n = until - at < TILE ? until - at : TILE;
		const float *value[VALUES];
		for (size_t j = 0; j < p->inputs; j++) {
			value[j] = r->at[j] ? r->at[j] + at : memory[r->slot[j]];
			if (!r->at[j] && r->inputs[j].period > 1) spread(&r->inputs[j], at, n, memory[r->slot[j]]);
		}
		for (size_t j = 0; j < p->steps; j++) {
			size_t y = p->inputs + j;
			float *to = r->at[y] ? r->at[y] + at : memory[r->slot[y]];
			step(p->step[j].f, value[p->step[j].a], value[p->step[j].b], n, to);
			value[y] = to;
		}
	}
	if (i + 1 == r->pieces && r->n % 8) { // what is no whole vector, each value in its own
		size_t at = r->n / 8 * 8, n = r->n - at;
		float v[VALUES][8] = {{0}};
		for (size_t j = 0; j < p->inputs; j++) spread(&r->inputs[j], at, n, v[j]);
		for (size_t j = 0; j < p->steps; j++) step(p->step[j].f, v[p->step[j].a], v[p->step[j].b], 8, v[p->inputs + j]);
		for (size_t j = 0; j < p->outputs; j++) memcpy(r->outputs[j] + at, v[p->output[j]], n * sizeof(float));
	}
}

void winnow_elementwise(const winnow_program *p, size_t n, const winnow_operand *inputs, float *const *outputs, size_t lanes, winnow_for each, void *pool) {
	run r = {.p = p, .n = n, .inputs = inputs, .outputs = outputs};
	if (!n) return;
	place(&r);
	size_t worth = n * p->steps / least + 1;
	r.pieces = worth < PIECES * lanes ? worth : PIECES * lanes;
	if (lanes == 1) r.pieces = 1;
	if (r.pieces == 1) piece(&r, 0);
	else each(pool, piece, r.pieces, &r);
}
