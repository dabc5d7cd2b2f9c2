// The operators of package kernels, as ONNX Runtime's C API takes them.
#include "ops.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "elementwise.h"
#include "layernorm.h"
#include "norm.h"
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

enum { apiVersion = 24, floats = 1, required = 0, optional = 1, variadic = 2 };

typedef struct work work;

// An operator of this package.
typedef struct {
	custom base;
	const char *name;
	size_t inputs, optional, outputs; // optional ones are the last
	int padded;                       // it has an attribute pads
	const char *choice;               // an attribute that is 0 or 1, or NULL
	enum { IMAGES, ROWS, PROGRAM } of_what; // with an attribute block; with axis and epsilon; with program and outputs, and any number of operands
	void *(*run)(work *);
	const winnow_ops *of;
} op;

enum { OPS = 9 };

struct winnow_ops {
	table api;
	void *domain, *memory;
	size_t threads;
	op all[OPS];
};

// A node.
typedef struct {
	const op *op;
	int64_t pads[4], block, choice, axis;
	float epsilon;
	winnow_program program;
} node;

static const char *op_name(const void *o) { return ((const op *)o)->name; }
static const char *op_provider(const void *o) { return (void)o, NULL; }
static int op_type(const void *o, size_t i) { return (void)o, (void)i, floats; }
static size_t op_inputs(const void *o) { return ((const op *)o)->inputs; }
static size_t op_outputs(const void *o) { return ((const op *)o)->outputs; }
static int op_input(const void *o, size_t i) {
	const op *of = o;
	return of->of_what == PROGRAM ? variadic : i + of->optional >= of->inputs ? optional : required;
}
static int op_output(const void *o, size_t i) { return (void)i, ((const op *)o)->of_what == PROGRAM ? variadic : required; }
static int op_least(const void *o) { return ((const op *)o)->of_what == PROGRAM; }
static int op_memory(const void *o, size_t i) { return (void)o, (void)i, 0; }
static int op_version(const void *o) { return (void)o, 1; }
static void node_destroy(void *n) { free(n); }

// The attributes program and outputs of a node.
static void *program_of(table api, const void *info, winnow_program *p) {
	int64_t steps[3 * WINNOW_STEPS], outputs[WINNOW_OUTPUTS];
	size_t numbers = 3 * WINNOW_STEPS, count = WINNOW_OUTPUTS, in = 0, out = 0;
	void *(*list)(const void *, const char *, int64_t *, size_t *) = (void *(*)(const void *, const char *, int64_t *, size_t *))api[attributes];
	TRY(list(info, "program", steps, &numbers));
	TRY(list(info, "outputs", outputs, &count));
	TRY(CALL(infoInputs, void *(*)(const void *, size_t *))(info, &in));
	TRY(CALL(infoOutputs, void *(*)(const void *, size_t *))(info, &out));
	if (out != count || !winnow_program_read(p, in, steps, numbers, outputs, count)) return fail(api, "winnow: Elementwise: no program");
	return NULL;
}

static void *node_create(const void *o, table api, const void *info, void **out) {
	node n = {.op = o};
	size_t count = 4;
	void *(*number)(const void *, const char *, int64_t *) = (void *(*)(const void *, const char *, int64_t *))api[attribute];
	switch (n.op->of_what) {
	case IMAGES:
		TRY(number(info, "block", &n.block));
		if (n.block != 8 && n.block != 16) return fail(api, "winnow: block: want 8 or 16");
		break;
	case ROWS:
		TRY(number(info, "axis", &n.axis));
		TRY(CALL(attributeFloat, void *(*)(const void *, const char *, float *))(info, "epsilon", &n.epsilon));
		break;
	case PROGRAM:
		TRY(program_of(api, info, &n.program));
	}
	if (n.op->choice) TRY(number(info, n.op->choice, &n.choice));
	if (n.op->padded) TRY(CALL(attributes, void *(*)(const void *, const char *, int64_t *, size_t *))(info, "pads", n.pads, &count));
	for (size_t i = 0; i < 4; i++)
		if (count != 4 || n.pads[i] < 0 || n.pads[i] > 2) return fail(api, "winnow: pads: want four numbers from 0 to 2");
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

static void *output_of(table api, void *context, size_t i, const int64_t *dims, size_t rank, float **data) {
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

static void each(void *arg, void (*f)(void *, size_t), size_t n, void *of) {
	work *w = arg;
	table api = w->api;
	if (n == 0 || w->status) return;
	w->status = CALL(parallelFor, void *(*)(const void *, void (*)(void *, size_t), size_t, size_t, void *))(w->context, f, n, 0, of);
}

// Scratch memory of the session's allocator, until the run ends.
static void *borrow(work *w, size_t bytes) {
	table api = w->api;
	TRY(CALL(getAllocator, void *(*)(const void *, const void *, void **))(w->context, w->n->op->of->memory, &w->allocator));
	return CALL(allocate, void *(*)(void *, size_t, void **))(w->allocator, bytes, &w->scratch);
}

static void give_back(work *w) {
	table api = w->api;
	if (w->scratch) {
		void *status = CALL(release, void *(*)(void *, void *))(w->allocator, w->scratch);
		if (!w->status) w->status = status;
		else if (status) CALL(releaseStatus, void (*)(void *))(status);
	}
	if (w->allocator) CALL(releaseAllocator, void (*)(void *))(w->allocator);
}

static void *run_conv(work *w) {
	table api = w->api;
	float *x, *filter, *bias = NULL, *y;
	int64_t xs[4], fs[4], channels = 0;
	const int64_t *pads = w->n->pads, block = w->n->block;
	size_t inputs = 0;
	TRY(CALL(inputCount, void *(*)(const void *, size_t *))(w->context, &inputs));
	TRY(input_of(api, w->context, 0, 4, &x, xs));
	TRY(input_of(api, w->context, 1, 4, &filter, fs));
	if (inputs > 2) TRY(input_of(api, w->context, 2, 1, &bias, &channels));
	int64_t in = fs[w->n->choice ? 0 : 1], out = fs[w->n->choice ? 1 : 0];
	int64_t oh = xs[2] + pads[0] + pads[2] - 2, ow = xs[3] + pads[1] + pads[3] - 2;
	if (fs[2] != 3 || fs[3] != 3 || in != xs[1] || in <= 0 || in % block || out <= 0 || out % block || oh <= 0 || ow <= 0 || (bias && channels != out))
		return fail(api, "winnow: Conv3x3: operands that do not fit each other");
	winnow_conv s = {.n = xs[0], .c = in, .k = out, .h = xs[2], .w = xs[3], .oh = oh, .ow = ow, .top = pads[0], .left = pads[1],
		.block = block, .lanes = w->n->op->of->threads, .turned = w->n->choice != 0};
	TRY(output_of(api, w->context, 0, (int64_t[]){xs[0], out, oh, ow}, 4, &y));
	TRY(borrow(w, winnow_conv_scratch(&s)));
	winnow_conv_run(&s, x, filter, bias, y, w->scratch, each, w);
	return NULL;
}

static void *run_filter(work *w) {
	table api = w->api;
	float *x, *dy, *filter;
	int64_t xs[4], ds[4];
	const int64_t *pads = w->n->pads, block = w->n->block;
	TRY(input_of(api, w->context, 0, 4, &x, xs));
	TRY(input_of(api, w->context, 1, 4, &dy, ds));
	if (ds[0] != xs[0] || xs[1] <= 0 || xs[1] % block || ds[1] <= 0 || ds[1] % block || ds[2] <= 0 || ds[3] <= 0 ||
		ds[2] != xs[2] + pads[0] + pads[2] - 2 || ds[3] != xs[3] + pads[1] + pads[3] - 2)
		return fail(api, "winnow: Conv3x3Filter: operands that do not fit each other");
	winnow_conv s = {.n = xs[0], .c = xs[1], .k = ds[1], .h = xs[2], .w = xs[3], .oh = ds[2], .ow = ds[3], .top = pads[0], .left = pads[1],
		.block = block, .lanes = w->n->op->of->threads};
	TRY(output_of(api, w->context, 0, (int64_t[]){ds[1], xs[1], 3, 3}, 4, &filter));
	TRY(borrow(w, winnow_filter_scratch(&s)));
	winnow_filter_run(&s, x, dy, filter, w->scratch, each, w);
	return NULL;
}

// Images in whole blocks, the input at i.
static void *images_of(work *w, size_t i, float **x, int64_t *dims, winnow_images *s) {
	TRY(input_of(w->api, w->context, i, 4, x, dims));
	if (!*x || dims[1] <= 0 || dims[1] % w->n->block) return fail(w->api, "winnow: images that are not of whole blocks");
	*s = (winnow_images){dims[0], dims[1], dims[2] * dims[3], w->n->block, w->n->op->of->threads};
	return NULL;
}

// A number for each channel, the input at i; NULL where an optional one is missing.
static void *channels_of(work *w, size_t i, const winnow_images *s, float **v) {
	int64_t n = 0;
	TRY(input_of(w->api, w->context, i, 1, v, &n));
	if (*v && n != (int64_t)s->c) return fail(w->api, "winnow: another number of channels");
	return NULL;
}

static void *same_images(work *w, size_t i, const int64_t *dims, float **x) {
	int64_t other[4];
	TRY(input_of(w->api, w->context, i, 4, x, other));
	if (*x && memcmp(other, dims, sizeof other)) return fail(w->api, "winnow: images of another shape");
	return NULL;
}

static void *run_moments(work *w) {
	float *x, *mean, *variance;
	int64_t dims[4];
	winnow_images s;
	TRY(images_of(w, 0, &x, dims, &s));
	TRY(output_of(w->api, w->context, 0, &dims[1], 1, &mean));
	TRY(output_of(w->api, w->context, 1, &dims[1], 1, &variance));
	TRY(borrow(w, winnow_sums_scratch(&s)));
	winnow_moments(&s, x, mean, variance, w->scratch, each, w);
	return NULL;
}

static void *run_sums(work *w) {
	float *dy, *x, *mean, *sum, *product;
	int64_t dims[4];
	winnow_images s;
	TRY(images_of(w, 0, &dy, dims, &s));
	TRY(same_images(w, 1, dims, &x));
	TRY(channels_of(w, 2, &s, &mean));
	TRY(output_of(w->api, w->context, 0, &dims[1], 1, &sum));
	TRY(output_of(w->api, w->context, 1, &dims[1], 1, &product));
	TRY(borrow(w, winnow_sums_scratch(&s)));
	winnow_norm_sums(&s, dy, x, mean, sum, product, w->scratch, each, w);
	return NULL;
}

static void *run_affine(work *w) {
	float *x, *mean, *scale, *shift, *other = NULL, *times = NULL, *y;
	int64_t dims[4];
	winnow_images s;
	size_t inputs = 0;
	table api = w->api;
	TRY(CALL(inputCount, void *(*)(const void *, size_t *))(w->context, &inputs));
	TRY(images_of(w, 0, &x, dims, &s));
	TRY(channels_of(w, 1, &s, &mean));
	TRY(channels_of(w, 2, &s, &scale));
	TRY(channels_of(w, 3, &s, &shift));
	if (inputs > 4) TRY(same_images(w, 4, dims, &other));
	if (inputs > 5) TRY(channels_of(w, 5, &s, &times));
	TRY(output_of(api, w->context, 0, dims, 4, &y));
	winnow_affine(&s, x, mean, scale, shift, other, times, w->n->choice != 0, y, each, w);
	return NULL;
}

static void *run_masked(work *w) {
	float *g, *y, *out;
	int64_t dims[4];
	winnow_images s;
	TRY(images_of(w, 0, &g, dims, &s));
	TRY(same_images(w, 1, dims, &y));
	TRY(output_of(w->api, w->context, 0, dims, 4, &out));
	winnow_masked(&s, g, y, out, each, w);
	return NULL;
}

// Any input's data and dimensions, of which there may be WINNOW_RANK.
static void *operand_of(work *w, size_t i, const float **data, int64_t *dims, size_t *rank) {
	table api = w->api;
	void *value = NULL, *shape, *status;
	int type = 0;
	TRY(CALL(getInput, void *(*)(const void *, size_t, void **))(w->context, i, &value));
	if (!value) return fail(api, "winnow: an operand is missing");
	TRY(CALL(getTypeAndShape, void *(*)(const void *, void **))(value, &shape));
	status = CALL(getDimensionsCount, void *(*)(const void *, size_t *))(shape, rank);
	if (!status) status = CALL(getElementType, void *(*)(const void *, int *))(shape, &type);
	if (!status && (*rank > WINNOW_RANK || type != floats)) status = fail(api, "winnow: an operand of another rank or type");
	if (!status) status = CALL(getDimensions, void *(*)(const void *, int64_t *, size_t))(shape, dims, *rank);
	CALL(releaseTypeAndShape, void (*)(void *))(shape);
	if (status) return status;
	return CALL(getData, void *(*)(void *, void **))(value, (void **)data);
}

static void *run_elementwise(work *w) {
	const winnow_program *p = &w->n->program;
	winnow_operand operands[WINNOW_INPUTS];
	const float *data[WINNOW_INPUTS];
	int64_t dims[WINNOW_INPUTS][WINNOW_RANK], whole[WINNOW_RANK];
	size_t ranks[WINNOW_INPUTS], rank = 0, n = 1;
	float *outputs[WINNOW_OUTPUTS];
	for (size_t i = 0; i < p->inputs; i++) {
		TRY(operand_of(w, i, &data[i], dims[i], &ranks[i]));
		if (ranks[i] > rank) rank = ranks[i];
	}
	for (size_t d = 0; d < rank; d++) {
		whole[d] = 1;
		for (size_t i = 0; i < p->inputs; i++) // what is not 1; operands that do not fit are found below
			if (d + ranks[i] >= rank && dims[i][d + ranks[i] - rank] != 1) whole[d] = dims[i][d + ranks[i] - rank];
		n *= whole[d];
	}
	for (size_t i = 0; i < p->inputs; i++) {
		if (!winnow_operand_of(&operands[i], dims[i], ranks[i], whole, rank)) return fail(w->api, "winnow: Elementwise: operands that do not fit each other");
		operands[i].data = data[i];
	}
	for (size_t i = 0; i < p->outputs; i++) TRY(output_of(w->api, w->context, i, whole, rank, &outputs[i]));
	winnow_elementwise(p, n, operands, outputs, w->n->op->of->threads, each, w);
	return NULL;
}

// Rows along the dimensions from axis on, the input at i; of says how the dimensions of each row's numbers are.
static void *rows_of(work *w, size_t i, const float **x, int64_t *dims, int64_t *of, size_t *rank, winnow_rows *s) {
	*s = (winnow_rows){1, 1, w->n->op->of->threads};
	TRY(operand_of(w, i, x, dims, rank));
	if (w->n->axis < 0 || w->n->axis >= (int64_t)*rank) return fail(w->api, "winnow: axis: no dimension is there");
	for (size_t k = 0; k < *rank; k++) {
		if ((int64_t)k < w->n->axis) s->rows *= dims[k], of[k] = dims[k];
		else s->d *= dims[k], of[k] = 1;
	}
	if (!s->d) return fail(w->api, "winnow: rows of no elements");
	return NULL;
}

// n numbers, the input at i.
static void *numbers_of(work *w, size_t i, size_t n, const float **v) {
	int64_t dims[WINNOW_RANK], count = 1;
	size_t rank;
	TRY(operand_of(w, i, v, dims, &rank));
	for (size_t k = 0; k < rank; k++) count *= dims[k];
	if (count != (int64_t)n) return fail(w->api, "winnow: another number of elements");
	return NULL;
}

static void *run_layernorm(work *w) {
	table api = w->api;
	const float *x, *scale, *bias = NULL;
	float *y, *mean, *inverse;
	int64_t dims[WINNOW_RANK], of[WINNOW_RANK];
	size_t rank, inputs = 0;
	winnow_rows s;
	TRY(CALL(inputCount, void *(*)(const void *, size_t *))(w->context, &inputs));
	TRY(rows_of(w, 0, &x, dims, of, &rank, &s));
	TRY(numbers_of(w, 1, s.d, &scale));
	if (inputs > 2) TRY(numbers_of(w, 2, s.d, &bias));
	TRY(output_of(api, w->context, 0, dims, rank, &y));
	TRY(output_of(api, w->context, 1, of, rank, &mean));
	TRY(output_of(api, w->context, 2, of, rank, &inverse));
	winnow_layernorm(&s, x, scale, bias, w->n->epsilon, y, mean, inverse, each, w);
	return NULL;
}

static void *run_layernorm_grad(work *w) {
	table api = w->api;
	const float *dy, *x, *scale, *mean, *inverse;
	float *dx, *dscale, *dbias;
	int64_t dims[WINNOW_RANK], of[WINNOW_RANK];
	size_t rank;
	winnow_rows s;
	TRY(rows_of(w, 1, &x, dims, of, &rank, &s));
	TRY(numbers_of(w, 0, s.rows * s.d, &dy));
	TRY(numbers_of(w, 2, s.d, &scale));
	TRY(numbers_of(w, 3, s.rows, &mean));
	TRY(numbers_of(w, 4, s.rows, &inverse));
	TRY(output_of(api, w->context, 0, dims, rank, &dx));
	TRY(output_of(api, w->context, 1, dims + w->n->axis, rank - w->n->axis, &dscale));
	TRY(output_of(api, w->context, 2, dims + w->n->axis, rank - w->n->axis, &dbias));
	TRY(borrow(w, winnow_layernorm_scratch(&s)));
	winnow_layernorm_grad(&s, dy, x, scale, mean, inverse, dx, dscale, dbias, w->scratch, each, w);
	return NULL;
}

static void *node_compute(void *of, void *context) {
	const node *n = of;
	work w = {.api = n->op->of->api, .n = n, .context = context};
	void *status = n->op->run(&w);
	table api = w.api;
	if (!w.status) w.status = status;
	else if (status) CALL(releaseStatus, void (*)(void *))(status);
	give_back(&w);
	return w.status;
}

static const op table_of_ops[OPS] = {
	{.name = "Conv3x3", .inputs = 3, .optional = 1, .outputs = 1, .padded = 1, .choice = "turned", .run = run_conv},
	{.name = "Conv3x3Filter", .inputs = 2, .outputs = 1, .padded = 1, .run = run_filter},
	{.name = "Moments", .inputs = 1, .outputs = 2, .run = run_moments},
	{.name = "NormSums", .inputs = 3, .outputs = 2, .run = run_sums},
	{.name = "Affine", .inputs = 6, .optional = 2, .outputs = 1, .choice = "relu", .run = run_affine},
	{.name = "Masked", .inputs = 2, .outputs = 1, .run = run_masked},
	{.name = "LayerNorm", .inputs = 3, .optional = 1, .outputs = 3, .of_what = ROWS, .run = run_layernorm},
	{.name = "LayerNormGrad", .inputs = 5, .outputs = 3, .of_what = ROWS, .run = run_layernorm_grad},
	{.name = "Elementwise", .inputs = 1, .outputs = 1, .of_what = PROGRAM, .run = run_elementwise},
};

static const custom functions = {
	.version = apiVersion, .name = op_name, .provider = op_provider, .inputType = op_type, .inputs = op_inputs, .outputType = op_type,
	.outputs = op_outputs, .destroy = node_destroy, .inputKind = op_input, .outputKind = op_output, .inputMemory = op_memory,
	.leastInputs = op_least, .sameInputs = op_least, .leastOutputs = op_least, .sameOutputs = op_least, .createOr = node_create,
	.computeOr = node_compute, .firstVersion = op_version, .lastVersion = op_version,
};

void *winnow_ops_new(table api, size_t threads, winnow_ops **out) {
	winnow_ops *o = calloc(1, sizeof *o);
	if (!o) return fail(api, "winnow: out of memory");
	o->api = api;
	o->threads = threads;
	enum { arena = 1 };
	void *status = CALL(createMemoryInfo, void *(*)(const char *, int, int, int, void **))("Cpu", arena, 0, 0, &o->memory);
	if (!status) status = CALL(createDomain, void *(*)(const char *, void **))("winnow", &o->domain);
	for (size_t i = 0; i < OPS && !status; i++) {
		o->all[i] = table_of_ops[i];
		o->all[i].base = functions;
		o->all[i].of = o;
		status = CALL(addToDomain, void *(*)(void *, const void *))(o->domain, &o->all[i]);
	}
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
