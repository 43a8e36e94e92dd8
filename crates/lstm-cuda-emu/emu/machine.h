// The emulated machine: threads as fibers, barriers and warps as meeting points.
//
// A kernel's thread runs until it finishes or waits for others; then the scheduler picks another one. What
// kernels are promised is promised here too, and nothing more: shared memory starts as NaN, and threads
// drift apart as far as barriers allow. There is no weak memory model: a missing fence goes unseen.
#pragma once
#include "context.h"
#include <cstring>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace emu {

constexpr unsigned WARP = 32;

struct Dim {
    unsigned x, y, z;
    unsigned count() const { return x * y * z; }
    Dim at(unsigned index) const { return {index % x, index / x % y, index / x / y}; }
};

// A place in a kernel's source.
struct Site {
    const char* operation;
    const char* file;
    int line;
    bool operator==(const Site& other) const {
        return line == other.line && !strcmp(file, other.file) && !strcmp(operation, other.operation);
    }
    std::string text() const { return std::string(operation) + " in " + file + ":" + std::to_string(line); }
};

// Threads that wait for each other; `round` counts how often all have met.
struct Meeting {
    unsigned arrived = 0, round = 0;
    Site site{};
};

struct Warp {
    Meeting meeting;
    unsigned mask = 0, seen = 0;
    // Two rounds side by side: a fast lane may bring its next value before a slow one has read this one.
    uint64_t values[2][WARP] = {};
};

struct Block {
    Dim index{};
    std::vector<unsigned char> shared;
    Meeting barrier;
    std::vector<Warp> warps;
};

struct Thread {
    Dim index{};
    unsigned lane = 0;
    Block* block = nullptr;
    Warp* warp = nullptr;
    unsigned char* stack = nullptr; // none before its start and after its end
    Context context{};
    bool finished = false;
    const Meeting* waits = nullptr; // for the end of round `round`
    unsigned round = 0;
    Site site{};
    bool runnable() const { return !finished && !(waits && waits->round == round); }
};

// A launch in progress.
struct Grid {
    const char* kernel;
    Dim blocks, threads;
    unsigned shared_bytes;
    void (*body)(void**);
    void** arguments;
    Context scheduler{};
    std::string error;
};

inline thread_local Grid* grid = nullptr;
inline thread_local Thread* current = nullptr;

inline void leave() { switch_to(current->context, grid->scheduler); }

// Ends the launch: the scheduler never comes back to any thread.
[[noreturn]] inline void fail(const std::string& what) {
    grid->error = what;
    for (;;) leave();
}

inline void wait_for(const Meeting& meeting, unsigned round) {
    current->waits = &meeting;
    current->round = round;
    while (meeting.round == round) leave();
    current->waits = nullptr;
}

// Waits for all threads of the block, at this very place of the source.
inline void block_barrier(Site site) {
    Meeting& meeting = current->block->barrier;
    current->site = site;
    if (meeting.arrived == 0) meeting.site = site;
    if (!(meeting.site == site)) fail("threads of a block wait at " + meeting.site.text() + " and at " + site.text());
    unsigned round = meeting.round;
    if (++meeting.arrived < grid->threads.count()) return wait_for(meeting, round);
    meeting.arrived = 0;
    ++meeting.round;
}

// Brings `value`, waits for the lanes of `mask`, and answers what each lane has brought.
inline const uint64_t* exchange(unsigned mask, uint64_t value, Site site) {
    Warp& warp = *current->warp;
    Meeting& meeting = warp.meeting;
    current->site = site;
    unsigned own = 1u << current->lane;
    if (!(mask & own)) fail("a lane is not in its own mask at " + site.text());
    if (warp.seen == 0) {
        warp.mask = mask;
        meeting.site = site;
    }
    if (!(meeting.site == site)) fail("lanes of a warp are at " + meeting.site.text() + " and at " + site.text());
    if (warp.mask != mask) fail("lanes of a warp give different masks at " + site.text());
    unsigned round = meeting.round;
    uint64_t* values = warp.values[round % 2];
    values[current->lane] = value;
    warp.seen |= own;
    if (warp.seen != warp.mask) {
        wait_for(meeting, round);
    } else {
        warp.seen = 0;
        ++meeting.round;
    }
    return values;
}

template <class T> T shuffle_from(unsigned mask, T value, unsigned from, Site site) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    const uint64_t* values = exchange(mask, bits, site);
    if (from >= WARP) return value;
    if (!(mask >> from & 1)) fail("a lane outside the mask is read at " + site.text());
    memcpy(&value, &values[from], sizeof(T));
    return value;
}

// A lane past the warp's end gives back one's own value.
template <class T> T shuffle_down(unsigned mask, T value, unsigned by, Site site) {
    return shuffle_from(mask, value, current->lane + by, site);
}

// A kernel that can be launched by name: its entry point and the sizes of its parameters.
struct Entry {
    void (*body)(void**);
    std::vector<unsigned> sizes;
};

inline std::unordered_map<std::string, Entry>& entries() {
    static std::unordered_map<std::string, Entry> all;
    return all;
}

template <auto kernel> struct Call;
template <class... A, void (*kernel)(A...)> struct Call<kernel> {
    template <size_t... I> static void with(void** arguments, std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_const_t<A>*>(arguments[I])...);
    }
    static void body(void** arguments) { with(arguments, std::index_sequence_for<A...>{}); }
    explicit Call(const char* name) { entries()[name] = {body, {sizeof(A)...}}; }
};

} // namespace emu
