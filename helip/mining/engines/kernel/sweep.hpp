// The filter: tiles of both modalities, thresholds, survivors.
#pragma once
#include "panel.hpp"

namespace helip {

class Strip {  // one band of rows against one group of columns
    Panel& p;
    const PanelTask& j;
    const int thread;
    std::vector<word> packed;  // second modality of the group at hand, packed
    int64_t packed_group = -1;
    alignas(64) float tile[MR][GROUP], other[MR][GROUP];
    uint16_t survivor[MR * GROUP];

public:
    Strip(Panel& p, int thread) : p(p), j(p.job), thread(thread) {}

    void run(int64_t band, int64_t group) {
        int64_t end = std::min<int64_t>((band + 1) * BAND, j.rows.padded / GROUP);
        for (int64_t g = band * BAND; g < end && (!j.symmetric || g <= group); g++)
            for (int r = 0; r < GROUP; r += MR) rows(g, r, group);
    }

private:
    void rows(int64_t g, int r, int64_t group) {
        const word* a = j.rows.first + g * j.words_first * GROUP + r;
        const word* b = j.columns.first + group * j.words_first * GROUP;
        const int64_t row = g * GROUP + r, column = group * GROUP;
        vec need[NV], c[MR][NV] = {};
        for (int v = 0; v < NV; v++) need[v] = j.symmetric ? load(&p.threshold[column + v * LANES]) : all(INFINITY);
        long done = 0;
        for (int check = 0; check < CHECKS && j.check[check]; check++) {
            advance(a, 1, GROUP, b, done, j.check[check], c);
            done = j.check[check];
            if (!reachable(check, row, column, need, c)) return;
        }
        advance(a, 1, GROUP, b, done, j.words_first, c);
        int n = 0;
        for (int x = 0; x < MR; x++)
            for (int v = 0; v < NV; v++) {
                vec size = j.sign ? larger(c[x][v], -c[x][v]) : c[x][v];
                unsigned bits = at_least(size, smaller(need[v], all(p.threshold[row + x])));
                if (bits) memcpy(&tile[x][v * LANES], &c[x][v], sizeof(vec));
                for (; bits; bits &= bits - 1) survivor[n++] = x * GROUP + v * LANES + __builtin_ctz(bits);
            }
        if (n) keep(n, row, column);
    }

    bool reachable(int check, int64_t row, int64_t column, const vec (&need)[NV], const vec (&c)[MR][NV]) const {
        const float* tail_row = j.rows.tails + check * j.rows.stride + row;
        const float* tail_column = j.columns.tails + check * j.columns.stride + column;
        unsigned any = 0;
        for (int v = 0; v < NV; v++) {
            vec tail = load(tail_column + v * LANES);
            for (int x = 0; x < MR; x++) {
                vec size = j.sign ? larger(c[x][v], -c[x][v]) : c[x][v];
                any |= at_least(size + tail * tail_row[x], smaller(need[v], all(p.threshold[row + x])));
            }
        }
        return any;
    }

    void keep(int n, int64_t row, int64_t column) {
        const bool full = j.words_second && 4 * n >= MR * GROUP;
        if (full) multiply_second(row, column);
        for (int s = 0; s < n; s++) {
            int x = survivor[s] / GROUP, y = survivor[s] % GROUP;
            int64_t r = row + x, c = column + y;
            if (r >= j.rows.count || c >= j.columns.count || (j.symmetric ? c <= r : c == j.forbidden[r])) continue;
            float a = tile[x][y], b = 1;
            if (a < j.tau_first - j.margin_first || a - j.margin_first > j.max_similarity) continue;
            if (j.words_second) {
                b = full ? other[x][y] : dot(j.rows.second + r * j.words_second, j.columns.second + c * j.words_second, j.words_second);
                if (b < j.tau_second - j.margin_second || b - j.margin_second > j.max_similarity) continue;
            }
            float most = a * b + p.slack(a, b);
            if (most <= 0) continue;
            if (most >= p.floor[r]) p.put(thread, r, c, a, b);
            if (j.symmetric && most >= p.floor[c]) p.put(thread, c, r, a, b);
        }
    }

    void multiply_second(int64_t row, int64_t column) {
        const int64_t words = j.words_second;
        if (packed_group != column) {
            packed.assign(words * GROUP, 0);
            for (int y = 0; y < GROUP && column + y < j.columns.count; y++)
                for (int64_t k = 0; k < words; k++) packed[k * GROUP + y] = j.columns.second[(column + y) * words + k];
            packed_group = column;
        }
        vec c[MR][NV] = {};
        advance(j.rows.second + row * words, words, 1, packed.data(), 0, words, c);
        memcpy(other, c, sizeof other);
    }
};

}  // namespace helip
