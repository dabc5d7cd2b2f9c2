// What the nodes of each operator do: their operands, checked, and the work on them.
#include "host.h"
#include "channel.h"
#include "filter.h"
#include "layernorm.h"
#include "norm.h"
#include "permute.h"
#include "sums.h"
#include "winograd.h"

void *winnow_run_conv(work *w) {
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

void *winnow_run_filter(work *w) {
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

void *winnow_run_moments(work *w) {
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

void *winnow_run_sums(work *w) {
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

void *winnow_run_affine(work *w) {
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

void *winnow_run_masked(work *w) {
	float *g, *y, *out;
	int64_t dims[4];
	winnow_images s;
	TRY(images_of(w, 0, &g, dims, &s));
	TRY(same_images(w, 1, dims, &y));
	TRY(output_of(w->api, w->context, 0, dims, 4, &out));
	winnow_masked(&s, g, y, out, each, w);
	return NULL;
}

void *winnow_run_maxpool_grad(work *w) {
	float *dy, *x, *y, *dx;
	int64_t dims[4], out[4];
	const int64_t *at = w->n->window;
	winnow_images s, pooled;
	TRY(images_of(w, 1, &x, dims, &s));
	TRY(images_of(w, 2, &y, out, &pooled));
	TRY(same_images(w, 0, out, &dy));
	if (out[0] != dims[0] || out[1] != dims[1]) return fail(w->api, "winnow: images of another shape");
	winnow_windows o = {dims[2], dims[3], out[2], out[3], {at[0], at[1]}, {at[2], at[3]}, {at[4], at[5]}, {at[6], at[7]}};
	TRY(output_of(w->api, w->context, 0, dims, 4, &dx));
	winnow_maxpool_grad(&s, &o, dy, x, y, dx, each, w);
	return NULL;
}

void *winnow_run_channel_filter(work *w) {
	float *x, *dy, *filter;
	int64_t dims[4], out[4];
	const int64_t *at = w->n->window;
	winnow_images s, of;
	TRY(images_of(w, 0, &x, dims, &s));
	TRY(images_of(w, 1, &dy, out, &of));
	if (out[0] != dims[0] || out[1] != dims[1]) return fail(w->api, "winnow: images of another shape");
	winnow_windows o = {dims[2], dims[3], out[2], out[3], {at[0], at[1]}, {at[2], at[3]}, {at[4], at[5]}, {at[6], at[7]}};
	if (at[0] * at[1] > 1 << 20) return fail(w->api, "winnow: window: larger than any image");
	TRY(output_of(w->api, w->context, 0, (int64_t[]){dims[1], 1, at[0], at[1]}, 4, &filter));
	TRY(borrow(w, winnow_channel_filter_scratch(&s, &o)));
	winnow_channel_filter(&s, &o, x, dy, filter, w->scratch, each, w);
	return NULL;
}

void *winnow_run_filter_blocks(work *w) {
	float *filter, *to;
	int64_t dims[WINNOW_RANK], group = w->n->group, block = w->n->block;
	size_t rank;
	TRY(operand_of(w->api, w->context, 0, &filter, dims, &rank));
	if (rank < 2 || group <= 0 || dims[0] <= 0 || dims[1] <= 0 || dims[0] % group || dims[0] / group % block || dims[1] % block)
		return fail(w->api, "winnow: FilterBlocks: a filter that is not of whole blocks");
	winnow_filters s = {.groups = group, .k = dims[0] / group, .c = dims[1], .taps = 1, .block = block, .lanes = w->n->op->of->threads, .turned = w->n->choice != 0};
	for (size_t i = 2; i < rank; i++) s.taps *= dims[i];
	if (s.turned) dims[0] = group * s.c, dims[1] = s.k;
	TRY(output_of(w->api, w->context, 0, dims, rank, &to));
	winnow_filter_blocks(&s, filter, to, each, w);
	return NULL;
}

void *winnow_run_elementwise(work *w) {
	const winnow_program *p = &w->n->program;
	winnow_operand operands[WINNOW_INPUTS];
	float *data[WINNOW_INPUTS];
	int64_t dims[WINNOW_INPUTS][WINNOW_RANK], whole[WINNOW_RANK];
	size_t ranks[WINNOW_INPUTS], rank = 0, n = 1;
	float *outputs[WINNOW_OUTPUTS];
	for (size_t i = 0; i < p->inputs; i++) {
		TRY(operand_of(w->api, w->context, i, &data[i], dims[i], &ranks[i]));
		if (!data[i]) return fail(w->api, "winnow: Elementwise: an operand is missing");
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
static void *rows_of(work *w, size_t i, float **x, int64_t *dims, int64_t *of, size_t *rank, winnow_rows *s) {
	*s = (winnow_rows){1, 1, w->n->op->of->threads};
	TRY(operand_of(w->api, w->context, i, x, dims, rank));
	if (w->n->axis < 0 || w->n->axis >= (int64_t)*rank) return fail(w->api, "winnow: axis: no dimension is there");
	for (size_t k = 0; k < *rank; k++) {
		if ((int64_t)k < w->n->axis) s->rows *= dims[k], of[k] = dims[k];
		else s->d *= dims[k], of[k] = 1;
	}
	if (!s->d) return fail(w->api, "winnow: rows of no elements");
	return NULL;
}

// n numbers, the input at i.
static void *numbers_of(work *w, size_t i, size_t n, float **v) {
	int64_t dims[WINNOW_RANK], count = 1;
	size_t rank;
	TRY(operand_of(w->api, w->context, i, v, dims, &rank));
	for (size_t k = 0; k < rank; k++) count *= dims[k];
	if (count != (int64_t)n) return fail(w->api, "winnow: another number of elements");
	return NULL;
}

void *winnow_run_layernorm(work *w) {
	table api = w->api;
	float *x, *scale, *bias = NULL, *y, *mean, *inverse;
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

void *winnow_run_layernorm_grad(work *w) {
	table api = w->api;
	float *dy, *x, *scale, *mean, *inverse, *dx, *dscale, *dbias;
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

void *winnow_run_column_sums(work *w) {
	float *x, *y;
	int64_t dims[WINNOW_RANK], axis = w->n->axis;
	size_t rank;
	winnow_matrix s = {1, 1, w->n->op->of->threads};
	TRY(operand_of(w->api, w->context, 0, &x, dims, &rank));
	if (axis < 0 || axis > (int64_t)rank) return fail(w->api, "winnow: axis: no dimension is there");
	for (size_t d = 0; d < rank; d++) {
		if ((int64_t)d < axis) s.rows *= dims[d], dims[d] = 1;
		else s.columns *= dims[d];
	}
	size_t skip = w->n->choice ? 0 : axis;
	TRY(output_of(w->api, w->context, 0, dims + skip, rank - skip, &y));
	if (!s.columns) return NULL;
	TRY(borrow(w, winnow_column_sums_scratch(&s)));
	winnow_column_sums(&s, x, y, w->scratch, each, w);
	return NULL;
}

void *winnow_run_permute(work *w) {
	float *x, *y;
	int64_t dims[WINNOW_RANK], out[WINNOW_RANK];
	size_t rank;
	winnow_permutation s;
	TRY(operand_of(w->api, w->context, 0, &x, dims, &rank));
	if (rank != w->n->rank || !winnow_permutation_of(&s, dims, w->n->perm, rank, w->n->op->of->threads))
		return fail(w->api, "winnow: perm: no order of the dimensions");
	for (size_t d = 0; d < rank; d++) out[d] = dims[w->n->perm[d]];
	TRY(output_of(w->api, w->context, 0, out, rank, &y));
	winnow_permute(&s, x, y, each, w);
	return NULL;
}
