#include "elementwise.h"

#include <immintrin.h>
#include <string.h>

enum { TILE = 256, PIECES = 4, VALUES = WINNOW_INPUTS + WINNOW_STEPS };
enum { least = 1 << 15 }; // steps times elements that are worth a thread

#define LANES 8
#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define ROOTS 8
#define SQUARE_ROOTS(p) _mm256_storeu_ps(p, _mm256_sqrt_ps(_mm256_loadu_ps(p)))
#include "elementwise_step.h"
#undef LANES
#undef NAME
#define LANES 16
#define NAME(x) x##_pairs // the same where there is no AVX-512, for tests
#include "elementwise_step.h"
#undef NAME
#undef TARGET
#undef ROOTS
#undef SQUARE_ROOTS
#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f")))
#define ROOTS 16
#define SQUARE_ROOTS(p) _mm512_storeu_ps(p, _mm512_sqrt_ps(_mm512_loadu_ps(p)))
#include "elementwise_step.h"
#undef LANES
#undef NAME
#undef TARGET

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
	void (*step)(winnow_function, const float *, const float *, size_t, float *);
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
	size_t lanes = p->block, vectors = r->n / lanes, from = i * vectors / r->pieces * lanes, until = (i + 1) * vectors / r->pieces * lanes;
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
			r->step(p->step[j].f, value[p->step[j].a], value[p->step[j].b], n, to);
			value[y] = to;
		}
	}
	if (i + 1 == r->pieces && r->n % lanes) { // what is no whole vector, each value in its own
		size_t at = vectors * lanes, n = r->n - at;
		float v[VALUES][16] = {{0}};
		for (size_t j = 0; j < p->inputs; j++) spread(&r->inputs[j], at, n, v[j]);
		for (size_t j = 0; j < p->steps; j++) r->step(p->step[j].f, v[p->step[j].a], v[p->step[j].b], lanes, v[p->inputs + j]);
		for (size_t j = 0; j < p->outputs; j++) memcpy(r->outputs[j] + at, v[p->output[j]], n * sizeof(float));
	}
}

void winnow_elementwise(const winnow_program *p, size_t n, const winnow_operand *inputs, float *const *outputs, size_t lanes, winnow_for each, void *pool) {
	run r = {.p = p, .n = n, .inputs = inputs, .outputs = outputs};
	r.step = p->block == 8 ? step_avx2 : __builtin_cpu_supports("avx512f") ? step_avx512 : step_pairs;
	if (!n) return;
	place(&r);
	size_t worth = n * p->steps / least + 1;
	r.pieces = worth < PIECES * lanes ? worth : PIECES * lanes;
	if (lanes == 1) r.pieces = 1;
	if (r.pieces == 1) piece(&r, 0);
	else each(pool, piece, r.pieces, &r);
}
