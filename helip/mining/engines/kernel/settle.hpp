// Which candidates stay: first by bounds, then by exact scores.
#pragma once
#include "exact.hpp"

namespace helip {

enum Depth { BOUNDS, EXACTLY, AT_LAST };

class Settler {
    Panel& p;
    const PanelTask& j;
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
        for (const RawRows* raw : {&j.image, &j.text}) {
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

}  // namespace helip
