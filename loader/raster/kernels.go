//go:build cgo && amd64 && (linux || darwin)

package raster

/*
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WIDE __attribute__((target("avx2")))
#define BITS 22 // coefBits

// TAPS are the coefficients of n outputs, as the type taps has them.
#define TAPS const int32_t *first, const int32_t *count, const int32_t *all, int size, int n

static int has_avx2(void) { return __builtin_cpu_supports("avx2"); }

// A pixel's three channels and the byte behind them, as four numbers.
static inline WIDE __m128i pixel(const uint8_t *p) {
	int32_t v;
	memcpy(&v, p, 4);
	return _mm_cvtepu8_epi32(_mm_cvtsi32_si128(v));
}

// Rounded down to bytes: the packs keep what is out of range at its bound.
static inline WIDE void put(uint8_t *dst, size_t plane, __m128i sum) {
	sum = _mm_srai_epi32(sum, BITS);
	sum = _mm_packs_epi32(sum, sum);
	uint32_t v = _mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
	dst[0] = v;
	dst[plane] = v >> 8;
	dst[2 * plane] = v >> 16;
}

// Each row of pixels becomes n pixels, in planes. Four rows share a coefficient.
static WIDE void along_packed(TAPS, uint8_t *dst, size_t plane, const uint8_t *src, size_t stride, size_t rows) {
	const __m128i half = _mm_set1_epi32(1 << (BITS - 1));
	size_t y = 0;
	for (; y + 4 <= rows; y += 4, src += 4 * stride, dst += 4 * n)
		for (int i = 0; i < n; i++) {
			const uint8_t *p = src + 3 * (size_t)first[i];
			const int32_t *coef = all + (size_t)i * size, *end = coef + count[i];
			__m128i a = half, b = half, c = half, d = half;
			for (; coef < end; coef++, p += 3) {
				__m128i w = _mm_set1_epi32(*coef);
				a = _mm_add_epi32(a, _mm_mullo_epi32(pixel(p), w));
				b = _mm_add_epi32(b, _mm_mullo_epi32(pixel(p + stride), w));
				c = _mm_add_epi32(c, _mm_mullo_epi32(pixel(p + 2 * stride), w));
				d = _mm_add_epi32(d, _mm_mullo_epi32(pixel(p + 3 * stride), w));
			}
			put(dst + i, plane, a);
			put(dst + n + i, plane, b);
			put(dst + 2 * n + i, plane, c);
			put(dst + 3 * n + i, plane, d);
		}
	for (; y < rows; y++, src += stride, dst += n)
		for (int i = 0; i < n; i++) {
			const uint8_t *p = src + 3 * (size_t)first[i];
			const int32_t *coef = all + (size_t)i * size, *end = coef + count[i];
			__m128i a = half;
			for (; coef < end; coef++, p += 3)
				a = _mm_add_epi32(a, _mm_mullo_epi32(pixel(p), _mm_set1_epi32(*coef)));
			put(dst + i, plane, a);
		}
}

#define WIDTH 32 // columns at once

// Rows become n rows; width is WIDTH at least.
static WIDE void across_rows(TAPS, uint8_t *dst, const uint8_t *src, size_t stride, size_t width, int skip) {
	const __m256i half = _mm256_set1_epi32(1 << (BITS - 1)), order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	for (int i = 0; i < n; i++, dst += width) {
		const int32_t *coef = all + (size_t)i * size;
		for (size_t x = 0;;) {
			const uint8_t *p = src + (first[i] - skip) * stride + x;
			__m256i a = half, b = half, c = half, d = half;
			for (int k = 0; k < count[i]; k++, p += stride) {
				__m256i w = _mm256_set1_epi32(coef[k]);
				a = _mm256_add_epi32(a, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)), w));
				b = _mm256_add_epi32(b, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8))), w));
				c = _mm256_add_epi32(c, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + 16))), w));
				d = _mm256_add_epi32(d, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + 24))), w));
			}
			a = _mm256_packs_epi32(_mm256_srai_epi32(a, BITS), _mm256_srai_epi32(b, BITS));
			c = _mm256_packs_epi32(_mm256_srai_epi32(c, BITS), _mm256_srai_epi32(d, BITS));
			_mm256_storeu_si256((__m256i *)(dst + x), _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, c), order));
			if (x + WIDTH == width) break;
			x = x + 2 * WIDTH <= width ? x + WIDTH : width - WIDTH; // the last ones overlap
		}
	}
}
*/
import "C"

import "unsafe"

// wide says that the processor has what the functions of this file need; tests turn it off.
var wide = C.has_avx2() != 0

func int32s(s []int32) *C.int32_t { return (*C.int32_t)(unsafe.SliceData(s)) }

func bytesOf(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(b)) }

// alongWide is along of three channels, where it can be had. A byte behind the
// last pixel is read.
func (t *taps) alongWide(dst []byte, plane int, src []byte, stride, rows int) bool {
	if !wide {
		return false
	}
	n := len(t.first)
	_, _ = dst[2*plane+rows*n-1], src[(rows-1)*stride+3*t.in-1]
	C.along_packed(int32s(t.first), int32s(t.count), int32s(t.coef), C.int(t.size), C.int(n),
		bytesOf(dst), C.size_t(plane), bytesOf(src), C.size_t(stride), C.size_t(rows))
	return true
}

// acrossWide is across, where it can be had.
func (t *taps) acrossWide(dst, src []byte, stride, width, skip int) bool {
	if !wide || width < C.WIDTH {
		return false
	}
	n := len(t.first)
	_, hi := t.reach()
	_, _ = dst[n*width-1], src[(hi-1-skip)*stride+width-1]
	C.across_rows(int32s(t.first), int32s(t.count), int32s(t.coef), C.int(t.size), C.int(n),
		bytesOf(dst), bytesOf(src), C.size_t(stride), C.size_t(width), C.int(skip))
	return true
}
