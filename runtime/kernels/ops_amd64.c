// The operators of package kernels, as ONNX Runtime's C API takes them.
#include "ops.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "winograd.h"

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
	getAllocator = 253,
	parallelFor = 274,
};

#define CALL(at, type) ((type)api[at])
#define TRY(call) do { void *status_ = (call); if (status_) return status_; } while (0)

typedef void *const *table;

static void *fail(table api, const char *message) {
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

enum { apiVersion = 24, floats = 1, required = 0, optional = 1 };

typedef struct {
	custom base;
	const char *name;
	int isFilter; // it gives the gradient of a filter
	const winnow_ops *of;
} op;

struct winnow_ops {
	table api;
	void *domain, *memory;
	size_t threads;
	op conv, filter;
};

// A node.
typedef struct {
	const op *op;
	int64_t pads[4], block, turned;
} node;

static const char *op_name(const void *o) { return ((const op *)o)->name; }
static const char *op_provider(const void *o) { return (void)o, NULL; }
static int op_type(const void *o, size_t i) { return (void)o, (void)i, floats; }
static size_t op_inputs(const void *o) { return ((const op *)o)->isFilter ? 2 : 3; }
static size_t op_outputs(const void *o) { return (void)o, 1; }
static int op_input(const void *o, size_t i) { return (void)o, i == 2 ? optional : required; }
static int op_output(const void *o, size_t i) { return (void)o, (void)i, required; }
static int op_zero(const void *o) { return (void)o, 0; }
static int op_memory(const void *o, size_t i) { return (void)o, (void)i, 0; }
static int op_version(const void *o) { return (void)o, 1; }
static void node_destroy(void *n) { free(n); }

static void *node_create(const void *o, table api, const void *info, void **out) {
	node n = {.op = o};
	size_t count = 4;
	TRY(CALL(attributes, void *(*)(const void *, const char *, int64_t *, size_t *))(info, "pads", n.pads, &count));
	TRY(CALL(attribute, void *(*)(const void *, const char *, int64_t *))(info, "block", &n.block));
	if (!n.op->isFilter) TRY(CALL(attribute, void *(*)(const void *, const char *, int64_t *))(info, "turned", &n.turned));
	for (size_t i = 0; i < 4; i++)
		if (count != 4 || n.pads[i] < 0 || n.pads[i] > 2) return fail(api, "winnow: pads: want four numbers from 0 to 2");
	if (n.block != 8 && n.block != 16) return fail(api, "winnow: block: want 8 or 16");
	node *kept = malloc(sizeof *kept);
	if (!kept) return fail(api, "winnow: out of memory");
	*kept = n;
	*out = kept;
	return NULL;
}

// An input's data and its dimensions, of which there are rank; NULL data where an optional one is missing.
static void *input_of(table api, void *context, size_t i, size_t rank, float **data, int64_t *dims) {
	void *value = NULL, *shape, *status;
	size_t got = 0;
	int type = 0;
	*data = NULL;
	TRY(CALL(getInput, void *(*)(const void *, size_t, void **))(context, i, &value));
	if (!value) return NULL;
	TRY(CALL(getTypeAndShape, void *(*)(const void *, void **))(value, &shape));
	status = CALL(getDimensionsCount, void *(*)(const void *, size_t *))(shape, &got);
	if (!status) status = CALL(getElementType, void *(*)(const void *, int *))(shape, &type);
	if (!status && (got != rank || type != floats)) status = fail(api, "winnow: an operand of another rank or type");
	if (!status) status = CALL(getDimensions, void *(*)(const void *, int64_t *, size_t))(shape, dims, rank);
	CALL(releaseTypeAndShape, void (*)(void *))(shape);
	if (status) return status;
	return CALL(getData, void *(*)(void *, void **))(value, (void **)data);
}

static void *output_of(table api, void *context, const int64_t *dims, float **data) {
	void *value;
	TRY(CALL(getOutput, void *(*)(void *, size_t, const int64_t *, size_t, void **))(context, 0, dims, 4, &value));
	return CALL(getData, void *(*)(void *, void **))(value, (void **)data);
}

// A run of a node.
typedef struct {
	table api;
	const node *n;
	void *context, *status;
	winnow_conv s;
	float *x, *second, *third, *y; // operands
} work;

static void each(void *arg, void (*f)(void *, size_t), size_t n, void *of) {
	work *w = arg;
	table api = w->api;
	if (n == 0 || w->status) return;
	w->status = CALL(parallelFor, void *(*)(const void *, void (*)(void *, size_t), size_t, size_t, void *))(w->context, f, n, 0, of);
}

// The operands of a convolution, and what it gives; fails where they do not fit each other.
static void *prepare_conv(work *w) {
	table api = w->api;
	int64_t x[4], filter[4], channels = 0;
	const int64_t *pads = w->n->pads, block = w->n->block;
	size_t inputs = 0;
	TRY(CALL(inputCount, void *(*)(const void *, size_t *))(w->context, &inputs));
	TRY(input_of(api, w->context, 0, 4, &w->x, x));
	TRY(input_of(api, w->context, 1, 4, &w->second, filter));
	if (inputs > 2) TRY(input_of(api, w->context, 2, 1, &w->third, &channels));
	int64_t in = filter[w->n->turned ? 0 : 1], out = filter[w->n->turned ? 1 : 0];
	int64_t oh = x[2] + pads[0] + pads[2] - 2, ow = x[3] + pads[1] + pads[3] - 2;
	if (filter[2] != 3 || filter[3] != 3 || in != x[1] || in <= 0 || in % block || out <= 0 || out % block || oh <= 0 || ow <= 0 || (w->third && channels != out))
		return fail(api, "winnow: Conv3x3: operands that do not fit each other");
	w->s = (winnow_conv){.n = x[0], .c = in, .k = out, .h = x[2], .w = x[3], .oh = oh, .ow = ow, .top = pads[0], .left = pads[1],
		.block = block, .lanes = w->n->op->of->threads, .turned = w->n->turned != 0};
	return output_of(api, w->context, (int64_t[]){x[0], out, oh, ow}, &w->y);
}

static void *prepare_filter(work *w) {
	table api = w->api;
	int64_t x[4], dy[4];
	const int64_t *pads = w->n->pads, block = w->n->block;
	TRY(input_of(api, w->context, 0, 4, &w->x, x));
	TRY(input_of(api, w->context, 1, 4, &w->second, dy));
	if (dy[0] != x[0] || x[1] <= 0 || x[1] % block || dy[1] <= 0 || dy[1] % block || dy[2] <= 0 || dy[3] <= 0 ||
		dy[2] != x[2] + pads[0] + pads[2] - 2 || dy[3] != x[3] + pads[1] + pads[3] - 2)
		return fail(api, "winnow: Conv3x3Filter: operands that do not fit each other");
	w->s = (winnow_conv){.n = x[0], .c = x[1], .k = dy[1], .h = x[2], .w = x[3], .oh = dy[2], .ow = dy[3], .top = pads[0], .left = pads[1],
		.block = block, .lanes = w->n->op->of->threads};
	return output_of(api, w->context, (int64_t[]){dy[1], x[1], 3, 3}, &w->y);
}

static void *node_compute(void *of, void *context) {
	const node *n = of;
	table api = n->op->of->api;
	work w = {.api = api, .n = n, .context = context};
	TRY(n->op->isFilter ? prepare_filter(&w) : prepare_conv(&w));
	void *allocator, *scratch;
	size_t bytes = n->op->isFilter ? winnow_filter_scratch(&w.s) : winnow_conv_scratch(&w.s);
	TRY(CALL(getAllocator, void *(*)(const void *, const void *, void **))(context, n->op->of->memory, &allocator));
	w.status = CALL(allocate, void *(*)(void *, size_t, void **))(allocator, bytes, &scratch);
	if (!w.status) {
		if (n->op->isFilter) winnow_filter_run(&w.s, w.x, w.second, w.y, scratch, each, &w);
		else winnow_conv_run(&w.s, w.x, w.second, w.third, w.y, scratch, each, &w);
		void *status = CALL(release, void *(*)(void *, void *))(allocator, scratch);
		if (!w.status) w.status = status;
		else if (status) CALL(releaseStatus, void (*)(void *))(status);
	}
	CALL(releaseAllocator, void (*)(void *))(allocator);
	return w.status;
}

static op op_of(const winnow_ops *of, const char *name, int isFilter) {
	return (op){
		.base = {
			.version = apiVersion, .name = op_name, .provider = op_provider, .inputType = op_type, .inputs = op_inputs, .outputType = op_type,
			.outputs = op_outputs, .destroy = node_destroy, .inputKind = op_input, .outputKind = op_output, .inputMemory = op_memory,
			.leastInputs = op_zero, .sameInputs = op_zero, .leastOutputs = op_zero, .sameOutputs = op_zero, .createOr = node_create,
			.computeOr = node_compute, .firstVersion = op_version, .lastVersion = op_version,
		},
		.name = name, .isFilter = isFilter, .of = of,
	};
}

void *winnow_ops_new(table api, size_t threads, winnow_ops **out) {
	winnow_ops *o = calloc(1, sizeof *o);
	if (!o) return fail(api, "winnow: out of memory");
	o->api = api;
	o->threads = threads;
	o->conv = op_of(o, "Conv3x3", 0);
	o->filter = op_of(o, "Conv3x3Filter", 1);
	enum { arena = 1 };
	void *status = CALL(createMemoryInfo, void *(*)(const char *, int, int, int, void **))("Cpu", arena, 0, 0, &o->memory);
	if (!status) status = CALL(createDomain, void *(*)(const char *, void **))("winnow", &o->domain);
	if (!status) status = CALL(addToDomain, void *(*)(void *, const void *))(o->domain, &o->conv);
	if (!status) status = CALL(addToDomain, void *(*)(void *, const void *))(o->domain, &o->filter);
	if (status) {
		winnow_ops_free(o);
		return status;
	}
	*out = o;
	return NULL;
}

void *winnow_ops_add(const winnow_ops *o, void *options) {
	table api = o->api;
	return CALL(addDomain, void *(*)(void *, void *))(options, o->domain);
}

void winnow_ops_free(winnow_ops *o) {
	if (!o) return;
	table api = o->api;
	if (o->domain) CALL(releaseDomain, void (*)(void *))(o->domain);
	if (o->memory) CALL(releaseMemoryInfo, void (*)(void *))(o->memory);
	free(o);
}
