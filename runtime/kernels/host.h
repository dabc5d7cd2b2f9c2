// What the operators have of ONNX Runtime's C API, and how a node reaches its operands.
#ifndef WINNOW_HOST_H
#define WINNOW_HOST_H

#include <string.h>

#include "elementwise.h"
#include "ops.h"

// Places in the table of functions; entries are only ever appended.
enum {
	createStatus = 0,
	createDomain = 26,
	addToDomain = 27,
	addDomain = 28,
	getElementType = 60,
	getDimensionsCount = 61,
	getDimensions = 62,
	getTypeAndShape = 65,
	getData = 51,
	createMemoryInfo = 68,
	allocate = 75,
	release = 76,
	attributeFloat = 85,
	attribute = 86,
	inputCount = 88,
	getInput = 90,
	getOutput = 91,
	releaseStatus = 93,
	releaseMemoryInfo = 94,
	releaseTypeAndShape = 99,
	releaseDomain = 101,
	releaseAllocator = 132,
	attributes = 163,
	infoInputs = 230,
	infoOutputs = 231,
	getAllocator = 253,
	parallelFor = 274,
};

#define CALL(at, type) ((type)api[at])
#define TRY(call) do { void *status_ = (call); if (status_) return status_; } while (0)

typedef void *const *table;

static inline void *fail(table api, const char *message) {
	enum { invalidArgument = 2 };
	return CALL(createStatus, void *(*)(int, const char *))(invalidArgument, message);
}

// An operator, laid out as the version of the API given lays it out.
typedef struct {
	uint32_t version;
	void *(*create)(const void *, table, const void *);
	const char *(*name)(const void *);
	const char *(*provider)(const void *);
	int (*inputType)(const void *, size_t);
	size_t (*inputs)(const void *);
	int (*outputType)(const void *, size_t);
	size_t (*outputs)(const void *);
	void (*compute)(void *, void *);
	void (*destroy)(void *);
	int (*inputKind)(const void *, size_t);
	int (*outputKind)(const void *, size_t);
	int (*inputMemory)(const void *, size_t);
	int (*leastInputs)(const void *);
	int (*sameInputs)(const void *);
	int (*leastOutputs)(const void *);
	int (*sameOutputs)(const void *);
	void *(*createOr)(const void *, table, const void *, void **);
	void *(*computeOr)(void *, void *);
	void *inferShapes;
	int (*firstVersion)(const void *);
	int (*lastVersion)(const void *);
	void *inPlace, *releaseInPlace, *alias, *releaseAlias;
} custom;

enum { apiVersion = 24, floats = 1, required = 0, optional = 1, variadic = 2 };

typedef struct work work;

// An operator of this package.
typedef struct {
	custom base;
	const char *name;
	size_t inputs, optional, outputs; // optional ones are the last
	int padded;                       // it has an attribute pads
	int windowed;                     // it has an attribute window
	int grouped;                      // it has an attribute group
	const char *choice;               // an attribute that is 0 or 1, or NULL
	// attributes: block; axis and epsilon; block, program and outputs, with any number of operands; perm; axis
	enum { BLOCKS, ROWS, PROGRAM, ORDER, LEADING } kind;
	void *(*run)(work *);
	const winnow_ops *of;
} op;

enum { OPS = 14 };

struct winnow_ops {
	table api;
	void *domain, *memory;
	size_t threads;
	op all[OPS];
};

// A node.
typedef struct {
	const op *op;
	int64_t pads[4], window[8], perm[WINNOW_RANK], block, choice, axis, group;
	size_t rank; // of perm
	float epsilon;
	winnow_program program;
} node;

// An input's data and its dimensions, at most WINNOW_RANK; NULL data where an optional one is missing.
static inline void *operand_of(table api, void *context, size_t i, float **data, int64_t *dims, size_t *rank) {
	void *value = NULL, *shape, *status;
	int type = 0;
	*data = NULL, *rank = 0;
	TRY(CALL(getInput, void *(*)(const void *, size_t, void **))(context, i, &value));
	if (!value) return NULL;
	TRY(CALL(getTypeAndShape, void *(*)(const void *, void **))(value, &shape));
	status = CALL(getDimensionsCount, void *(*)(const void *, size_t *))(shape, rank);
	if (!status) status = CALL(getElementType, void *(*)(const void *, int *))(shape, &type);
	if (!status && (*rank > WINNOW_RANK || type != floats)) status = fail(api, "winnow: an operand of another rank or type");
	if (!status) status = CALL(getDimensions, void *(*)(const void *, int64_t *, size_t))(shape, dims, *rank);
	CALL(releaseTypeAndShape, void (*)(void *))(shape);
	if (status) return status;
	TRY(CALL(getData, void *(*)(void *, void **))(value, (void **)data));
	static float nothing; // an empty tensor is there, but may have no memory
	if (!*data) *data = &nothing;
	return NULL;
}

// The same of an input whose rank is known.
static inline void *input_of(table api, void *context, size_t i, size_t rank, float **data, int64_t *dims) {
	int64_t all[WINNOW_RANK];
	size_t got;
	memset(dims, 0, rank * sizeof *dims);
	TRY(operand_of(api, context, i, data, all, &got));
	if (!*data) return NULL;
	if (got != rank) return fail(api, "winnow: an operand of another rank or type");
	memcpy(dims, all, rank * sizeof *dims);
	return NULL;
}

static inline void *output_of(table api, void *context, size_t i, const int64_t *dims, size_t rank, float **data) {
	void *value;
	TRY(CALL(getOutput, void *(*)(void *, size_t, const int64_t *, size_t, void **))(context, i, dims, rank, &value));
	return CALL(getData, void *(*)(void *, void **))(value, (void **)data);
}

// A run of a node.
struct work {
	table api;
	const node *n;
	void *context, *status;
	void *allocator, *scratch;
};

static inline void each(void *arg, void (*f)(void *, size_t), size_t n, void *of) {
	work *w = arg;
	table api = w->api;
	if (n == 0 || w->status) return;
	w->status = CALL(parallelFor, void *(*)(const void *, void (*)(void *, size_t), size_t, size_t, void *))(w->context, f, n, 0, of);
}

// Scratch memory of the session's allocator, until the run ends.
static inline void *borrow(work *w, size_t bytes) {
	table api = w->api;
	TRY(CALL(getAllocator, void *(*)(const void *, const void *, void **))(w->context, w->n->op->of->memory, &w->allocator));
	return CALL(allocate, void *(*)(void *, size_t, void **))(w->allocator, bytes, &w->scratch);
}

static inline void give_back(work *w) {
	table api = w->api;
	if (w->scratch) {
		void *status = CALL(release, void *(*)(void *, void *))(w->allocator, w->scratch);
		if (!w->status) w->status = status;
		else if (status) CALL(releaseStatus, void (*)(void *))(status);
	}
	if (w->allocator) CALL(releaseAllocator, void (*)(void *))(w->allocator);
}

// The operators: what a node does.
void *winnow_run_conv(work *w);
void *winnow_run_filter(work *w);
void *winnow_run_moments(work *w);
void *winnow_run_sums(work *w);
void *winnow_run_affine(work *w);
void *winnow_run_masked(work *w);
void *winnow_run_maxpool_grad(work *w);
void *winnow_run_filter_blocks(work *w);
void *winnow_run_elementwise(work *w);
void *winnow_run_layernorm(work *w);
void *winnow_run_layernorm_grad(work *w);
void *winnow_run_permute(work *w);
void *winnow_run_column_sums(work *w);
void *winnow_run_channel_filter(work *w);

#endif
