// Pairs that may count, and the bounded store that they wait in.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace helip {

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

}  // namespace helip
