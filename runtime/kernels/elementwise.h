// Chains of operators by element in one pass, a tile at a time.
#ifndef WINNOW_ELEMENTWISE_H
#define WINNOW_ELEMENTWISE_H

#include <stddef.h>
#include <stdint.h>

#include "winograd.h"

enum { WINNOW_INPUTS = 16, WINNOW_STEPS = 32, WINNOW_OUTPUTS = WINNOW_STEPS, WINNOW_RANK = 8 };

// What a step does; the numbers are those of onnx/fuse.
typedef enum {
	WINNOW_ADD, WINNOW_SUB, WINNOW_MUL, WINNOW_DIV, WINNOW_MAX, WINNOW_MIN, // of two
	WINNOW_NEG, WINNOW_SQRT, WINNOW_RECIPROCAL, WINNOW_RELU, WINNOW_EXP, WINNOW_ERF, WINNOW_SIGMOID, WINNOW_TANH, // of one
	WINNOW_FUNCTIONS,
} winnow_function;

// A program: its values are the inputs and then what each step gives.
typedef struct {
	size_t inputs, steps, outputs;
	size_t block; // floats of a vector: 8 or 16
	struct { uint8_t f, a, b; } step[WINNOW_STEPS]; // a function and the values it takes
	uint8_t output[WINNOW_OUTPUTS];                 // values
} winnow_program;

// Reads a program written as three numbers for each step, but for its block; 0 where it is none.
int winnow_program_read(winnow_program *p, size_t inputs, const int64_t *steps, size_t numbers, const int64_t *outputs, size_t count);

// An operand whose element at place i of n is data[i/inner % period].
typedef struct {
	const float *data;
	size_t inner, period;
} winnow_operand;

// How an operand of these dimensions stands beside a whole of those; 0 where it does not.
int winnow_operand_of(winnow_operand *o, const int64_t *dims, size_t rank, const int64_t *whole, size_t wholeRank);

// Runs a program over n elements.
void winnow_elementwise(const winnow_program *p, size_t n, const winnow_operand *inputs, float *const *outputs, size_t lanes, winnow_for each, void *pool);

#endif
