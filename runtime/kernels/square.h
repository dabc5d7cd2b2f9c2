// Squares of eight by eight numbers, turned in registers.
#ifndef WINNOW_SQUARE_H
#define WINNOW_SQUARE_H

#include <stddef.h>

typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));

// The numbers of two vectors at these places.
#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int eights __attribute__((vector_size(32)));
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (eights){__VA_ARGS__})
#endif

// to[j*apart + i] = from[i*line + j], of eight rows and columns.
static inline __attribute__((target("avx2,fma"), always_inline)) void turn_square(const float *from, size_t line, float *to, size_t apart) {
	eight r[8], s[8];
	for (int i = 0; i < 8; i++) r[i] = *(const eight *)(from + i * line);
	for (int i = 0; i < 8; i += 2) { // pairs of rows
		s[i] = SHUFFLE(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
		s[i + 1] = SHUFFLE(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
	}
	for (int i = 0; i < 8; i += 4) // fours
		for (int j = 0; j < 2; j++) {
			r[i + 2 * j] = SHUFFLE(s[i + j], s[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
			r[i + 2 * j + 1] = SHUFFLE(s[i + j], s[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
		}
	for (int j = 0; j < 4; j++) {
		*(eight *)(to + j * apart) = SHUFFLE(r[j], r[j + 4], 0, 1, 2, 3, 8, 9, 10, 11);
		*(eight *)(to + (j + 4) * apart) = SHUFFLE(r[j], r[j + 4], 4, 5, 6, 7, 12, 13, 14, 15);
	}
}

#endif
