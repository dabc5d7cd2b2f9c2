// The operators of package kernels, as ONNX Runtime's C API takes them.
#include "ops.h"

#include <stdlib.h>

#include "host.h"

static const char *op_name(const void *o) { return ((const op *)o)->name; }
static const char *op_provider(const void *o) { return (void)o, NULL; }
static int op_type(const void *o, size_t i) { return (void)o, (void)i, floats; }
static size_t op_inputs(const void *o) { return ((const op *)o)->inputs; }
static size_t op_outputs(const void *o) { return ((const op *)o)->outputs; }
static int op_input(const void *o, size_t i) {
	const op *of = o;
	return of->kind == PROGRAM ? variadic : i + of->optional >= of->inputs ? optional : required;
}
static int op_output(const void *o, size_t i) { return (void)i, ((const op *)o)->kind == PROGRAM ? variadic : required; }
static int op_least(const void *o) { return ((const op *)o)->kind == PROGRAM; }
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
	void *(*list)(const void *, const char *, int64_t *, size_t *) = (void *(*)(const void *, const char *, int64_t *, size_t *))api[attributes];
	switch (n.op->kind) {
	case BLOCKS:
	case PROGRAM:
		TRY(number(info, "block", &n.block));
		if (n.block != 8 && n.block != 16) return fail(api, "winnow: block: want 8 or 16");
		if (n.op->kind == PROGRAM) TRY(program_of(api, info, &n.program));
		n.program.block = n.block;
		break;
	case ROWS:
		TRY(number(info, "axis", &n.axis));
		TRY(CALL(attributeFloat, void *(*)(const void *, const char *, float *))(info, "epsilon", &n.epsilon));
		break;
	case ORDER:
		n.rank = WINNOW_RANK;
		TRY(list(info, "perm", n.perm, &n.rank));
		break;
	case LEADING:
		TRY(number(info, "axis", &n.axis));
	}
	if (n.op->choice) TRY(number(info, n.op->choice, &n.choice));
	if (n.op->padded) TRY(list(info, "pads", n.pads, &count));
	for (size_t i = 0; i < 4; i++)
		if (count != 4 || n.pads[i] < 0 || n.pads[i] > 2) return fail(api, "winnow: pads: want four numbers from 0 to 2");
	if (n.op->grouped) TRY(number(info, "group", &n.group));
	if (n.op->windowed) {
		count = 8;
		TRY(list(info, "window", n.window, &count));
		for (size_t i = 0; i < 8; i++)
			if (count != 8 || n.window[i] < (i < 6) || n.window[i] > 1 << 20) return fail(api, "winnow: window: want eight numbers");
	}
	node *kept = malloc(sizeof *kept);
	if (!kept) return fail(api, "winnow: out of memory");
	*kept = n;
	*out = kept;
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
	{.name = "Conv3x3", .inputs = 3, .optional = 1, .outputs = 1, .padded = 1, .choice = "turned", .run = winnow_run_conv},
	{.name = "Conv3x3Filter", .inputs = 2, .outputs = 1, .padded = 1, .run = winnow_run_filter},
	{.name = "Moments", .inputs = 1, .outputs = 2, .run = winnow_run_moments},
	{.name = "NormSums", .inputs = 3, .outputs = 2, .run = winnow_run_sums},
	{.name = "Affine", .inputs = 6, .optional = 2, .outputs = 1, .choice = "relu", .run = winnow_run_affine},
	{.name = "Masked", .inputs = 2, .outputs = 1, .run = winnow_run_masked},
	{.name = "MaxPoolGrad", .inputs = 3, .outputs = 1, .windowed = 1, .run = winnow_run_maxpool_grad},
	{.name = "ChannelFilter", .inputs = 2, .outputs = 1, .windowed = 1, .run = winnow_run_channel_filter},
	{.name = "FilterBlocks", .inputs = 1, .outputs = 1, .grouped = 1, .choice = "turned", .run = winnow_run_filter_blocks},
	{.name = "LayerNorm", .inputs = 3, .optional = 1, .outputs = 3, .kind = ROWS, .run = winnow_run_layernorm},
	{.name = "LayerNormGrad", .inputs = 5, .outputs = 3, .kind = ROWS, .run = winnow_run_layernorm_grad},
	{.name = "ColumnSums", .inputs = 1, .outputs = 1, .kind = LEADING, .choice = "keepdims", .run = winnow_run_column_sums},
	{.name = "Permute", .inputs = 1, .outputs = 1, .kind = ORDER, .run = winnow_run_permute},
	{.name = "Elementwise", .inputs = 1, .outputs = 1, .kind = PROGRAM, .run = winnow_run_elementwise},
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
