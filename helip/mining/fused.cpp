// The fused kernel: filter, thresholds and candidates of one panel of targets in one pass over the columns, for any CPU.
//
// Two operands. `first` lies packed in groups of 48 rows, [words][48] each, rotated so that its leading dimensions carry most of
// every inner product: a tile stops as soon as |tail_i| |tail_j| cannot lift any pair of it to its threshold (Cauchy-Schwarz).
// `second` (may be absent) lies row by row and is multiplied for the pairs that survive, or in full where a tile is full of them.
// What passes waits as entries in buckets of 240 rows, in chunks from a bounded store, until exact cosines settle it.
// Compiled with -ffp-contract=off: exact cosines are a float32 multiply and add per step, as helip/mining/features.py has them.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

// ---------------------------------------------------------------- vectors of the machine at hand

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

inline vec multiply_add(word a, const word* b, vec c) {
#if defined(__AVX512BF16__)
    return (vec)_mm512_dpbf16_ps((__m512)c, (__m512bh)_mm512_set1_epi32(a), (__m512bh)_mm512_loadu_si512(b));
#elif defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps(_mm512_set1_ps(a), _mm512_loadu_ps(b), (__m512)c);
#elif defined(__AVX2__) && defined(__FMA__)
    return (vec)_mm256_fmadd_ps(_mm256_set1_ps(a), _mm256_loadu_ps(b), (__m256)c);
#else
    return c + a * load(b);
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
    for (long k = from; k < to; k++)
#pragma GCC unroll 8
        for (int r = 0; r < MR; r++)
#pragma GCC unroll 12
            for (int v = 0; v < NV; v++) c[r][v] = multiply_add(a[r * rows + k * step], b + k * GROUP + v * LANES, c[r][v]);
}

// ---------------------------------------------------------------- candidates

struct Entry {  // a pair that may count; exact: score is its score. Otherwise a and b are the filter's cosines.
    uint32_t row, column;
    float a, b;
    bool exact() const { return b == EXACT; }
    static constexpr float EXACT = -9;
};

constexpr int CHUNK = 1024;
struct Chunk {
    int used;
    Entry entry[CHUNK];
};

class Chunks {  // a bounded store; what was taken once is kept for the next taker
    std::mutex mutex;
    std::vector<Chunk*> idle, owned;
    size_t limit;

public:
    explicit Chunks(size_t limit) : limit(limit) {}
    ~Chunks() {
        for (Chunk* c : owned) free(c);
    }
    size_t left() {
        std::lock_guard<std::mutex> hold(mutex);
        return idle.size() + limit - std::min(limit, owned.size());
    }
    Chunk* take() {  // never fails: callers stop in time, and a strip under way may overdraw
        std::lock_guard<std::mutex> hold(mutex);
        if (idle.empty()) {
            owned.push_back((Chunk*)malloc(sizeof(Chunk)));
            if (!owned.back()) abort();
            idle.push_back(owned.back());
        }
        Chunk* c = idle.back();
        idle.pop_back();
        c->used = 0;
        return c;
    }
    void give(std::vector<Chunk*>& chunks) {
        std::lock_guard<std::mutex> hold(mutex);
        idle.insert(idle.end(), chunks.begin(), chunks.end());
        chunks.clear();
    }
};

}  // namespace

// ---------------------------------------------------------------- what Python hands over (helip/mining/fused.py mirrors these)

extern "C" {
struct Raw {  // one modality as the user has it
    const void* rows;
    const float* scale;
    int64_t dim;
    int32_t half;
};
struct Side {  // rows or columns of the panel, in their order
    const word* first;
    const word* second;
    const float* tails;  // [CHECKS][stride]: norm of each rounded row beyond each check
    const int64_t* ids;
    int64_t count, padded, stride;  // padded: to whole groups
};
struct Job {
    Side rows, columns;
    Raw image, text;                  // for exact cosines; rows == nullptr: not used
    const int64_t* forbidden;         // column that a row may not choose, or -1
    int64_t words_first, words_second;
    int64_t check[CHECKS];            // words after which a tile may stop; 0: no such check
    float tau_first, tau_second, margin_first, margin_second, tau_image, tau_text, max_similarity;
    int32_t k, symmetric, sign, threads;
    int64_t chunks;
};
}

namespace {

struct Panel {
    Job job;
    Chunks store;
    std::vector<std::vector<std::vector<Chunk*>>> held;  // [thread][bucket]
    std::vector<float> floor, threshold;                 // per row: a score it already has k of; what the first cosine must reach
    std::vector<int64_t> next;                           // per band: the next group of columns
    std::vector<std::atomic<int64_t>> chunks;            // per bucket
    explicit Panel(const Job& j) : job(j), store(j.chunks) {
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

// ---------------------------------------------------------------- the sweep

class Strip {  // one band of rows against one group of columns
    Panel& p;
    const Job& j;
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

// ---------------------------------------------------------------- exact cosines, in the order of helip/mining/features.py

constexpr int SUMS = 64;

inline void widen(const Raw& raw, int64_t id, int64_t from, float* out) {  // 64 unit-row values from `from` on, zeros beyond the row
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

float exact_cosine(const Raw& raw, const float* unit, int64_t other) {  // unit: the target's row, widened
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
    const Job& j;
    std::vector<float> image, text;
    explicit Target(const Job& j) : j(j), image((j.image.dim + SUMS) / SUMS * SUMS), text((j.text.dim + SUMS) / SUMS * SUMS) {}
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

// ---------------------------------------------------------------- settling

enum Depth { BOUNDS, EXACTLY, AT_LAST };

class Settler {
    Panel& p;
    const Job& j;
    const int thread;
    Target target;
    std::vector<Entry> all;
    std::vector<size_t> start;
    std::vector<float> low;

public:
    Settler(Panel& p, int thread) : p(p), j(p.job), thread(thread), target(p.job) {}

    void bucket(size_t bucket, Depth depth, int32_t* ids, float* scores) {
        gather(bucket);
        const uint32_t base = bucket * BUCKET;
        for (int r = 0; r < BUCKET && base + r < j.rows.count; r++) {
            Entry* e = all.data() + start[r];
            size_t n = start[r + 1] - start[r];
            if (n >= (size_t)j.k) {
                n = drop(e, n, base + r);
                if (depth != BOUNDS) n = score(e, n, base + r);
            }
            if (depth == AT_LAST) {
                if (n < (size_t)j.k) continue;
                for (int h = 0; h < j.k; h++) {
                    ids[(int64_t)(base + r) * j.k + h] = (int32_t)j.columns.ids[e[h].column];
                    scores[(int64_t)(base + r) * j.k + h] = e[h].a;
                }
            } else
                for (size_t i = 0; i < n; i++) p.put(thread, e[i].row, e[i].column, e[i].a, e[i].b);
        }
    }

private:
    void gather(size_t bucket) {  // the bucket's entries by row
        start.assign(BUCKET + 2, 0);
        for (auto& mine : p.held)
            for (Chunk* c : mine[bucket])
                for (int i = 0; i < c->used; i++) start[c->entry[i].row % BUCKET + 2]++;
        for (int r = 0; r < BUCKET; r++) start[r + 2] += start[r + 1];
        all.resize(start[BUCKET + 1]);
        for (auto& mine : p.held) {
            for (Chunk* c : mine[bucket])
                for (int i = 0; i < c->used; i++) all[start[c->entry[i].row % BUCKET + 1]++] = c->entry[i];
            p.store.give(mine[bucket]);
        }
        p.chunks[bucket] = 0;
    }

    float least(const Entry& e) const {  // a lower bound of the score; 0 where the pair may not count
        if (e.exact()) return e.a;
        bool sure = e.a - j.margin_first > j.tau_first && e.a + j.margin_first <= j.max_similarity;
        if (j.words_second) sure = sure && e.b - j.margin_second > j.tau_second && e.b + j.margin_second <= j.max_similarity;
        return sure ? std::max(0.0f, e.a * e.b - p.slack(e.a, e.b)) : 0;
    }
    float most(const Entry& e) const { return e.exact() ? e.a : e.a * e.b + p.slack(e.a, e.b); }

    size_t drop(Entry* e, size_t n, uint32_t row) {  // those that cannot be among the k largest
        low.resize(n);
        for (size_t i = 0; i < n; i++) low[i] = least(e[i]);
        std::nth_element(low.begin(), low.begin() + j.k - 1, low.end(), std::greater<float>());
        p.floor[row] = std::max(p.floor[row], low[j.k - 1]);
        const float floor = p.floor[row];
        return std::remove_if(e, e + n, [&](const Entry& x) { return most(x) < floor; }) - e;
    }

    size_t score(Entry* e, size_t n, uint32_t row) {  // exactly; at most k stay, best first
        target.set(j.rows.ids[row]);
        size_t counted = 0;
        for (size_t i = 0; i < n; i++) {
            if (!e[i].exact()) {
                if (i + 2 < n) prefetch(j.columns.ids[e[i + 2].column]);
                e[i].a = target.score(j.columns.ids[e[i].column]);
                e[i].b = Entry::EXACT;
            }
            if (e[i].a > 0) e[counted++] = e[i];
        }
        size_t stay = std::min<size_t>(j.k, counted);
        std::partial_sort(e, e + stay, e + counted, [&](const Entry& x, const Entry& y) {
            return x.a != y.a ? x.a > y.a : j.columns.ids[x.column] < j.columns.ids[y.column];
        });
        if (stay == (size_t)j.k) p.floor[row] = std::max(p.floor[row], e[stay - 1].a);
        return stay;
    }

    void prefetch(int64_t id) const {
        for (const Raw* raw : {&j.image, &j.text}) {
            const int64_t bytes = raw->rows ? raw->dim * (raw->half ? 2 : 4) : 0;
            for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch((const char*)raw->rows + id * bytes + b);
        }
    }
};

void settle(Panel& p, Depth depth, int32_t* ids, float* scores) {
    std::atomic<size_t> next{0};
    const size_t buckets = p.next.size();
    parallel(p.job.threads, [&](int thread) {
        Settler settler(p, thread);
        for (size_t b; (b = next++) < buckets;) settler.bucket(b, depth, ids, scores);
    });
    p.raise();
}

}  // namespace

// ---------------------------------------------------------------- the interface

extern "C" {
int helip_layout(int what) {
    const int facts[] = {PER_WORD, GROUP, CHECKS, BUCKET, CHUNK, (int)sizeof(Chunk)};
    return facts[what];
}

void* helip_open(const Job* job) { return new Panel(*job); }
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
