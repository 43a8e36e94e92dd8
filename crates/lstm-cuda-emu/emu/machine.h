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
// As the size of a cluster: all blocks run at the same time, and reach nobody else's shared memory.
constexpr unsigned WHOLE_GRID = 0;

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

struct Block;

// Blocks that run at the same time and send to each other's shared memory.
struct Cluster {
    Meeting barrier;
    std::vector<Block*> blocks;
};

// Where bytes that others send are counted: a barrier in shared memory with one arrival.
struct Inbox {
    // A round ends when all bytes that were expected have come.
    Meeting meeting;
    bool expects = false;
    // May come before they are expected.
    long missing = 0;
};

struct Block {
    Dim index{};
    std::vector<unsigned char> shared;
    Meeting barrier;
    std::vector<Warp> warps;
    Cluster* cluster = nullptr;
    unsigned rank = 0;
    unsigned running = 0; // threads
    // By their places in shared memory.
    std::unordered_map<size_t, Inbox> inboxes;
};

// What was sent and has not landed.
struct Message {
    Block* to;
    size_t place, inbox;
    std::string bytes;
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
    unsigned cluster = 1; // blocks
    bool whole = false; // all blocks run at the same time, which makes no cluster of them
    Context scheduler{};
    std::vector<Message> mail;
    // By the numbers of global memory that blocks wait for: a round ends with each change.
    std::unordered_map<const unsigned*, Meeting> counts;
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
    // A device that looks at parities would wait on.
    if (meeting.round - round > 1) fail("a round ended before somebody who waited for the one before it went on");
}

// Waits for so many threads, all at this very place of the source.
inline void barrier(Meeting& meeting, unsigned threads, const char* whose, Site site) {
    current->site = site;
    if (meeting.arrived == 0) meeting.site = site;
    if (!(meeting.site == site)) {
        fail(std::string("threads of a ") + whose + " wait at " + meeting.site.text() + " and at " + site.text());
    }
    unsigned round = meeting.round;
    if (++meeting.arrived < threads) return wait_for(meeting, round);
    meeting.arrived = 0;
    ++meeting.round;
}

inline void block_barrier(Site site) { barrier(current->block->barrier, grid->threads.count(), "block", site); }

inline void in_cluster(Site site) {
    if (grid->whole) fail("a grid is no cluster at " + site.text());
}

inline void cluster_barrier(Site site) {
    in_cluster(site);
    barrier(current->block->cluster->barrier, grid->cluster * grid->threads.count(), "cluster", site);
}

// Counts this block up.
inline void tell_grid(unsigned* told, Site site) {
    block_barrier(site);
    if (current->index.x > 0) return;
    ++*told;
    ++grid->counts[told].round;
}

// Waits until so many blocks have been counted.
inline void hear_grid(const unsigned* told, unsigned count, Site site) {
    current->site = site;
    while (current->index.x == 0 && int(*told - count) < 0) {
        current->waits = &grid->counts[told];
        current->round = current->waits->round;
        leave();
        current->waits = nullptr;
    }
    block_barrier(site);
}

// Offset of a place in the own block's shared memory.
inline size_t in_shared(const void* place, size_t bytes, Site site) {
    const std::vector<unsigned char>& shared = current->block->shared;
    size_t offset = static_cast<const unsigned char*>(place) - shared.data();
    if (offset > shared.size() || bytes > shared.size() - offset) fail("not in shared memory at " + site.text());
    return offset;
}

inline void open_inbox(const void* inbox, Site site) {
    current->site = site;
    current->block->inboxes[in_shared(inbox, 8, site)] = {};
}

inline Inbox& opened(Block& block, size_t inbox, Site site) {
    auto found = block.inboxes.find(inbox);
    if (found == block.inboxes.end()) fail("an inbox that nobody has opened at " + site.text());
    return found->second;
}

inline void settle(Inbox& inbox) {
    if (!inbox.expects || inbox.missing != 0) return;
    inbox.expects = false;
    ++inbox.meeting.round;
}

// So many bytes end the round.
inline void expect_bytes(const void* inbox, unsigned bytes, Site site) {
    current->site = site;
    Inbox& own = opened(*current->block, in_shared(inbox, 8, site), site);
    if (own.expects) fail("a round of an inbox begins before the last has ended at " + site.text());
    own.expects = true;
    own.missing += bytes;
    settle(own);
}

// Waits for the end of the round of this parity.
inline void await_bytes(const void* inbox, unsigned parity, Site site) {
    current->site = site;
    Inbox& own = opened(*current->block, in_shared(inbox, 8, site), site);
    if (own.meeting.round % 2 == parity) wait_for(own.meeting, own.meeting.round);
}

// Sends to the same place of another block's shared memory, and to its inbox; it lands some time later.
template <class T> void send(T value, const T* place, const void* inbox, unsigned rank, Site site) {
    current->site = site;
    in_cluster(site);
    Cluster& cluster = *current->block->cluster;
    if (rank >= cluster.blocks.size()) fail("a cluster has no such block at " + site.text());
    std::string bytes(reinterpret_cast<const char*>(&value), sizeof(T));
    grid->mail.push_back({cluster.blocks[rank], in_shared(place, sizeof(T), site), in_shared(inbox, 8, site), bytes});
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
    unsigned cluster; // blocks
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
    explicit Call(const char* name, unsigned cluster = 1) { entries()[name] = {body, {sizeof(A)...}, cluster}; }
};

} // namespace emu
