// What Python hands over (helip/mining/engines/cpp.py mirrors it), and the state of one panel of targets.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>
#include <vector>
#include "candidates.hpp"
#include "vectors.hpp"

namespace helip {

struct RawRows {  // one modality as the user has it
    const void* rows;
    const float* scale;
    int64_t dim;
    int32_t half;
};
struct PackedRows {  // rows or columns of the panel, in their order
    const word* first;
    const word* second;
    const float* tails;  // [CHECKS][stride]: norm of each rounded row beyond each check
    const int64_t* ids;
    int64_t count, padded, stride;  // padded: to whole groups
};
struct PanelTask {
    PackedRows rows, columns;
    RawRows image, text;                  // for exact cosines; rows == nullptr: not used
    const int64_t* forbidden;             // column that a row may not choose, or -1
    int64_t words_first, words_second;
    int64_t check[CHECKS];            // words after which a tile may stop; 0: no such check
    float tau_first, tau_second, margin_first, margin_second, tau_image, tau_text, max_similarity;
    int32_t k, symmetric, sign, threads;
    int64_t chunks;
};


struct Panel {
    PanelTask job;
    Chunks store;
    std::vector<std::vector<std::vector<Chunk*>>> held;  // [thread][bucket]
    std::vector<float> floor, threshold;                 // per row: a score it already has k of; what the first cosine must reach
    std::vector<int64_t> next;                           // per band: the next group of columns
    std::vector<std::atomic<int64_t>> chunks;            // per bucket
    explicit Panel(const PanelTask& j) : job(j), store(j.chunks) {
        size_t bands = (j.rows.padded / GROUP + BAND - 1) / BAND;
        held.assign(j.threads, std::vector<std::vector<Chunk*>>(bands));
        floor.assign(j.rows.padded, 0);
        threshold.assign(j.rows.padded, 0);
        next.resize(bands);
        chunks = std::vector<std::atomic<int64_t>>(bands);
        for (size_t band = 0; band < bands; band++) next[band] = j.symmetric ? band * BAND : 0;
        raise();
    }
    void raise() {
        for (int64_t r = 0; r < job.rows.padded; r++) {
            float least = job.sign ? floor[r] : std::max(floor[r], job.tau_first);
            threshold[r] = r < job.rows.count ? least - job.margin_first : INFINITY;
        }
    }
    void put(int thread, uint32_t row, uint32_t column, float a, float b) {
        std::vector<Chunk*>& mine = held[thread][row / BUCKET];
        if (mine.empty() || mine.back()->used == CHUNK) {
            mine.push_back(store.take());
            chunks[row / BUCKET]++;
        }
        Chunk* c = mine.back();
        c->entry[c->used++] = {row, column, a, b};
    }
    float slack(float a, float b) const {  // of a product of two filter cosines
        const float x = job.margin_first, y = job.words_second ? job.margin_second : 0;
        return (std::fabs(a) * y + std::fabs(b) * x + x * y) * 1.001f + 1e-6f;
    }
};

template <class F>
void parallel(int threads, F work) {
    std::vector<std::thread> crew;
    for (int t = 1; t < threads; t++) crew.emplace_back(work, t);
    work(0);
    for (auto& one : crew) one.join();
}

}  // namespace helip
