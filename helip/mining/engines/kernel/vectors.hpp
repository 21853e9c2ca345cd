// Vectors of the CPU at hand: bfloat16 products on AVX-512, float32 elsewhere.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace helip {

#if defined(__AVX512BF16__)
using word = uint32_t;  // two bfloat16
constexpr int PER_WORD = 2, LANES = 16, MR = 8;
#elif defined(__AVX512F__)
using word = float;
constexpr int PER_WORD = 1, LANES = 16, MR = 8;
#elif defined(__AVX2__) && defined(__FMA__)
using word = float;
constexpr int PER_WORD = 1, LANES = 8, MR = 2;
#else
using word = float;
constexpr int PER_WORD = 1, LANES = 4, MR = 1;
#endif
constexpr int GROUP = 48, NV = GROUP / LANES, BAND = 5, BUCKET = BAND * GROUP, CHECKS = 4;
typedef float vec __attribute__((vector_size(LANES * 4)));
typedef float loose __attribute__((vector_size(LANES * 4), aligned(4)));

inline vec load(const float* p) { return *(const loose*)p; }
inline vec all(float x) { return vec{} + x; }
inline vec larger(vec x, vec y) { return x > y ? x : y; }
inline vec smaller(vec x, vec y) { return x < y ? x : y; }

inline vec multiply_add(word a, vec b, vec c) {
#if defined(__AVX512BF16__)
    return (vec)_mm512_dpbf16_ps((__m512)c, (__m512bh)_mm512_set1_epi32(a), (__m512bh)b);
#elif defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps(_mm512_set1_ps(a), (__m512)b, (__m512)c);
#elif defined(__AVX2__) && defined(__FMA__)
    return (vec)_mm256_fmadd_ps(_mm256_set1_ps(a), (__m256)b, (__m256)c);
#else
    return c + a * b;
#endif
}

inline unsigned at_least(vec x, vec y) {  // bit l: x[l] >= y[l]
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask((__m512)x, (__m512)y, _CMP_GE_OQ);
#elif defined(__AVX2__)
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps((__m256)x, (__m256)y, _CMP_GE_OQ));
#else
    unsigned bits = 0;
    for (int l = 0; l < LANES; l++) bits |= unsigned(x[l] >= y[l]) << l;
    return bits;
#endif
}

inline float dot(const word* x, const word* y, long words) {  // of rows that lie word by word, words a multiple of 4 * LANES / PER_WORD
    vec s[4] = {};
#if defined(__AVX512BF16__)
    for (long k = 0; k < words; k += 64)
        for (int u = 0; u < 4; u++)
            s[u] = (vec)_mm512_dpbf16_ps((__m512)s[u], (__m512bh)_mm512_loadu_si512(x + k + 16 * u), (__m512bh)_mm512_loadu_si512(y + k + 16 * u));
#else
    for (long k = 0; k < words; k += 4 * LANES)
        for (int u = 0; u < 4; u++) s[u] += load(x + k + LANES * u) * load(y + k + LANES * u);
#endif
    vec t = (s[0] + s[1]) + (s[2] + s[3]);
    float sum = 0;
    for (int l = 0; l < LANES; l++) sum += t[l];
    return sum;
}

// A tile: MR rows of `a` (row stride `rows`, word stride `step`) times a packed group b, words [from, to).
inline void advance(const word* a, long rows, long step, const word* b, long from, long to, vec (&c)[MR][NV]) {
    vec sum[MR][NV];  // a copy that no pointer reaches stays in registers
    memcpy(sum, c, sizeof sum);
    for (long k = from; k < to; k++) {
        vec group[NV];
#pragma GCC unroll 12
        for (int v = 0; v < NV; v++) memcpy(&group[v], b + k * GROUP + v * LANES, sizeof(vec));
#pragma GCC unroll 8
        for (int r = 0; r < MR; r++)
#pragma GCC unroll 12
            for (int v = 0; v < NV; v++) sum[r][v] = multiply_add(a[r * rows + k * step], group[v], sum[r][v]);
    }
    memcpy(c, sum, sizeof sum);
}

}  // namespace helip
