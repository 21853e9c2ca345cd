// The fused kernel: filter, thresholds and candidates of one panel of targets in one pass over the columns, for any CPU.
//
// Two operands. `first` lies packed in groups of 48 rows, [words][48] each, rotated so that its leading dimensions carry most of
// every inner product: a tile stops as soon as |tail_i| |tail_j| cannot lift any pair of it to its threshold (Cauchy-Schwarz).
// `second` (may be absent) lies row by row and is multiplied for the pairs that survive, or in full where a tile is full of them.
// What passes waits as entries in buckets of 240 rows, in chunks from a bounded store, until exact cosines settle it.
// Compiled with -ffp-contract=off: exact cosines are a float32 multiply and add per step, as helip/mining/features.py has them.
#include "settle.hpp"
#include "sweep.hpp"

using namespace helip;

extern "C" {
int helip_layout(int what) {
    const int facts[] = {PER_WORD, GROUP, CHECKS, BUCKET, CHUNK, (int)sizeof(Chunk)};
    return facts[what];
}

void* helip_open(const PanelTask* job) { return new Panel(*job); }
void helip_close(void* panel) { delete (Panel*)panel; }

// Goes on with the sweep for about `strips` strips; sets `done` to the strips done since the beginning. Returns 1 when all is
// done, 0 when there is more to do, -1 when candidates must be settled first: the store or a bucket is full.
int helip_sweep(void* panel, int64_t strips, int64_t bucket_limit, int64_t* done) {
    Panel& p = *(Panel*)panel;
    const int64_t groups = p.job.columns.padded / GROUP, bands = p.next.size();
    const size_t reserve = 32 * (size_t)p.job.threads;  // chunks that the strips under way may still take
    std::atomic<int64_t> band{0}, quota{strips};
    std::atomic<bool> full{false};
    parallel(p.job.threads, [&](int thread) {
        Strip strip(p, thread);
        for (int64_t b; !full && quota > 0 && (b = band++) < bands;)
            while (p.next[b] < groups && !full && quota-- > 0) {
                strip.run(b, p.next[b]++);
                if (p.store.left() < reserve || p.chunks[b] > bucket_limit) full = true;
            }
    });
    *done = 0;
    bool whole = true;
    for (int64_t b = 0; b < bands; b++) {
        *done += p.next[b] - (p.job.symmetric ? b * BAND : 0);
        whole = whole && p.next[b] == groups;
    }
    return whole ? 1 : full ? -1 : 0;
}

// Drops what cannot be among the k largest; `exactly` scores what is left, so that at most k a row stay.
void helip_settle(void* panel, int exactly) { settle(*(Panel*)panel, exactly ? EXACTLY : BOUNDS, nullptr, nullptr); }
int64_t helip_left(void* panel) { return ((Panel*)panel)->store.left(); }

// ids, scores: [rows, k], left as they are for rows with fewer than k hard pairs.
void helip_finish(void* panel, int32_t* ids, float* scores) { settle(*(Panel*)panel, AT_LAST, ids, scores); }

// x: [count, dim] float32 -> rows from..from+count of a packed (groups of 48) or plain operand of `words` words a row. error: norm of
// what rounding changed; tails: [CHECKS][padded] norms of the rounded rows beyond each check.
void helip_pack(const float* x, int64_t count, int64_t dim, int64_t from, int64_t words, int32_t packed, word* out, const int64_t* check,
                int64_t padded, float* error, float* tails) {
    std::vector<word> row(words);
    for (int64_t i = 0; i < count; i++, x += dim) {
        double wrong = 0, tail[CHECKS] = {};
        std::fill(row.begin(), row.end(), 0);
        for (int64_t k = 0; k < dim; k++) {
            float value = x[k];
            if (PER_WORD == 2) {
                uint32_t bits;
                memcpy(&bits, &value, 4);
                bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
                ((uint16_t*)row.data())[k] = (uint16_t)bits;
                bits <<= 16;
                memcpy(&value, &bits, 4);
            } else
                ((float*)row.data())[k] = value;
            wrong += ((double)x[k] - value) * ((double)x[k] - value);
            for (int c = 0; c < CHECKS && tails && check[c]; c++)
                if (k >= check[c] * PER_WORD) tail[c] += (double)value * value;
        }
        const int64_t r = from + i;
        error[r] = (float)(std::sqrt(wrong) * 1.00001);
        for (int c = 0; c < CHECKS && tails && check[c]; c++) tails[c * padded + r] = (float)(std::sqrt(tail[c]) * 1.00001);
        if (packed)
            for (int64_t k = 0; k < words; k++) out[(r / GROUP * words + k) * GROUP + r % GROUP] = row[k];
        else
            std::copy(row.begin(), row.end(), out + r * words);
    }
}
}
