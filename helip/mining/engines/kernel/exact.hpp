// Exact cosines: float32, a multiply and an add per step, in the order of helip/mining/features.py.
#pragma once
#include "panel.hpp"

namespace helip {

constexpr int SUMS = 64;

inline void widen(const RawRows& raw, int64_t id, int64_t from, float* out) {  // 64 unit-row values from `from` on, zeros beyond the row
    const float scale = raw.scale[id];
    const int n = (int)std::min<int64_t>(SUMS, raw.dim - from);
    if (raw.half) {
        const uint16_t* x = (const uint16_t*)raw.rows + id * raw.dim + from;
        int i = 0;
#if defined(__F16C__) && defined(__AVX__)
        for (; i + 8 <= n; i += 8) _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(x + i))));
#endif
        for (; i < n; i++) {  // by hand: sign, exponent, fraction
            uint32_t sign = (x[i] & 0x8000u) << 16, rest = x[i] & 0x7fffu, bits = (rest << 13) + 0x38000000u;
            float value;
            if (rest < 0x400u) value = rest * 0x1p-24f;
            else memcpy(&value, &bits, 4);
            out[i] = sign ? -value : value;
        }
        for (i = 0; i < n; i++) out[i] *= scale;
    } else {
        const float* x = (const float*)raw.rows + id * raw.dim + from;
        if (n == SUMS)
            for (int i = 0; i < SUMS; i++) out[i] = x[i] * scale;
        else
            for (int i = 0; i < n; i++) out[i] = x[i] * scale;
    }
    for (int i = n; i < SUMS; i++) out[i] = 0;
}

float exact_cosine(const RawRows& raw, const float* unit, int64_t other) {  // unit: the target's row, widened
    alignas(64) float sum[SUMS], y[SUMS];
    for (int64_t from = 0; from < raw.dim; from += SUMS) {
        widen(raw, other, from, y);
        if (from == 0)
            for (int l = 0; l < SUMS; l++) sum[l] = unit[l] * y[l];
        else
            for (int l = 0; l < SUMS; l++) sum[l] = sum[l] + unit[from + l] * y[l];
    }
    for (int width = SUMS / 2; width; width /= 2)
        for (int l = 0; l < width; l++) sum[l] = sum[l] + sum[l + width];
    return std::min(1.0f, std::max(-1.0f, sum[0]));
}

struct Target {  // a row whose candidates are being scored
    const PanelTask& j;
    std::vector<float> image, text;
    explicit Target(const PanelTask& j) : j(j), image((j.image.dim + SUMS) / SUMS * SUMS), text((j.text.dim + SUMS) / SUMS * SUMS) {}
    void set(int64_t id) {
        for (int64_t from = 0; j.image.rows && from < j.image.dim; from += SUMS) widen(j.image, id, from, &image[from]);
        for (int64_t from = 0; j.text.rows && from < j.text.dim; from += SUMS) widen(j.text, id, from, &text[from]);
    }
    float score(int64_t other) const {  // 0: does not count
        float a = 1, b = 1;
        if (j.image.rows) {
            a = exact_cosine(j.image, image.data(), other);
            if (!(a > j.tau_image && a <= j.max_similarity)) return 0;
        }
        if (j.text.rows) {
            b = exact_cosine(j.text, text.data(), other);
            if (!(b > j.tau_text && b <= j.max_similarity)) return 0;
        }
        return std::max(0.0f, a * b);
    }
};

}  // namespace helip
