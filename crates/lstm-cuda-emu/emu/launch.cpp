// Launch by name, and the schedules.
#include "machine.h"
#include <algorithm>

namespace emu {
namespace {

// Blocks that run side by side under a skewed schedule; whole clusters in any case.
constexpr unsigned RESIDENT = 3;

thread_local std::vector<unsigned char*> free_stacks;

void run_thread() {
    grid->body(grid->arguments);
    current->finished = true;
    leave();
    __builtin_trap();
}

// Lets a thread run until it waits or ends; answers whether it could.
bool step(Thread& thread) {
    if (!thread.runnable()) return false;
    if (!thread.stack) {
        if (free_stacks.empty()) free_stacks.push_back(new_stack());
        thread.stack = free_stacks.back();
        free_stacks.pop_back();
        thread.context = start_at(thread.stack, run_thread);
    }
    current = &thread;
    switch_to(grid->scheduler, thread.context);
    if (thread.finished) {
        free_stacks.push_back(thread.stack);
        --thread.block->running;
    }
    return true;
}

// A message arrives, and is counted.
void land(size_t which) {
    Message message = std::move(grid->mail[which]);
    grid->mail.erase(grid->mail.begin() + which);
    auto found = message.to->inboxes.find(message.inbox);
    if (found == message.to->inboxes.end()) {
        grid->error = "bytes arrive at an inbox that nobody has opened";
        return;
    }
    if (message.to->running == 0) {
        grid->error = "bytes arrive at a block that has ended";
        return;
    }
    memcpy(&message.to->shared[message.place], message.bytes.data(), message.bytes.size());
    found->second.missing -= long(message.bytes.size());
    settle(found->second);
}

// Some clusters of a grid that run at the same time.
struct Wave {
    std::vector<Cluster> clusters;
    std::vector<Block> blocks;
    std::vector<Thread> threads;

    // Fills in `count` clusters; called again it uses the memory again.
    void start(const unsigned* order, unsigned count) {
        unsigned per_block = grid->threads.count(), warps = (per_block + WARP - 1) / WARP;
        unsigned size = grid->cluster;
        clusters.assign(count, Cluster{});
        blocks.resize(size_t(count) * size);
        threads.assign(blocks.size() * per_block, Thread{});
        for (unsigned b = 0; b < blocks.size(); ++b) {
            Block& block = blocks[b];
            block.cluster = &clusters[b / size];
            block.cluster->blocks.push_back(&block);
            block.rank = b % size;
            block.index = grid->blocks.at(order[b / size] * size + block.rank);
            block.running = per_block;
            block.shared.assign(grid->shared_bytes, 0xFF); // NaN
            block.barrier = {};
            block.inboxes.clear();
            block.warps.assign(warps, Warp{});
            for (unsigned t = 0; t < per_block; ++t) {
                Thread& thread = threads[size_t(b) * per_block + t];
                thread.index = grid->threads.at(t);
                thread.lane = t % WARP;
                thread.block = &block;
                thread.warp = &block.warps[t / WARP];
            }
        }
    }

    std::string deadlock() const {
        unsigned waiting = 0;
        Site site{};
        for (const Thread& thread : threads) {
            if (thread.finished) continue;
            ++waiting;
            site = thread.site;
        }
        return "deadlock: " + std::to_string(waiting) + " of " + std::to_string(threads.size()) +
               " threads wait for the others at " + site.text();
    }

    bool done() const {
        return std::all_of(threads.begin(), threads.end(), [](const Thread& t) { return t.finished; });
    }
};

// Threads one after another, each as far as it comes, again and again. Messages land when nobody can go on without them;
// in reverse, at once.
void in_order(Wave& wave, bool reverse) {
    size_t count = wave.threads.size();
    for (bool progress = true; progress && grid->error.empty();) {
        progress = false;
        for (size_t i = 0; i < count && grid->error.empty(); ++i) {
            progress |= step(wave.threads[reverse ? count - 1 - i : i]);
            while (reverse && !grid->mail.empty() && grid->error.empty()) land(0);
        }
        if (progress) continue;
        progress = !grid->mail.empty();
        while (!grid->mail.empty() && grid->error.empty()) land(grid->mail.size() - 1);
    }
}

// A warp drawn at random runs until it is stuck, then another: warps and blocks drift as far apart as
// barriers allow. (Drawing threads one by one would keep them in lockstep and hide missing barriers.)
template <class Random> void skewed(Wave& wave, Random random) {
    std::vector<std::pair<size_t, size_t>> warps; // first thread, lanes
    size_t per_block = grid->threads.count();
    for (size_t first = 0; first < wave.threads.size(); first += per_block) {
        for (size_t t = 0; t < per_block; t += WARP) {
            warps.push_back({first + t, std::min<size_t>(WARP, per_block - t)});
        }
    }
    for (bool progress = true; progress && grid->error.empty();) {
        progress = false;
        size_t start = random() % warps.size();
        for (size_t w = 0; w < warps.size() && !progress; ++w) {
            auto [first, lanes] = warps[(start + w) % warps.size()];
            size_t turn = random() % lanes;
            for (bool again = true; again && grid->error.empty();) {
                again = false;
                for (size_t lane = 0; lane < lanes && grid->error.empty(); ++lane) {
                    again |= step(wave.threads[first + (lane + turn) % lanes]);
                }
                progress |= again;
                if (again && !grid->mail.empty() && random() % 4 == 0) land(random() % grid->mail.size());
            }
        }
        if (!progress && !grid->mail.empty() && grid->error.empty()) {
            land(random() % grid->mail.size());
            progress = true;
        }
    }
}

std::string check_arguments(const Entry& entry, const unsigned* sizes, unsigned count) {
    if (count != entry.sizes.size()) {
        return std::to_string(count) + " arguments, the kernel takes " + std::to_string(entry.sizes.size());
    }
    for (unsigned i = 0; i < count; ++i) {
        if (sizes[i] == entry.sizes[i]) continue;
        return "argument " + std::to_string(i) + " has " + std::to_string(sizes[i]) + " bytes, the kernel takes " +
               std::to_string(entry.sizes[i]);
    }
    return "";
}

// Schedule 0 runs threads in order, 1 in reverse, all others drift by this seed.
void run(uint64_t schedule) {
    uint64_t state = schedule * 0x9E3779B97F4A7C15u + 1;
    auto random = [&state] {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return size_t(state >> 11);
    };
    unsigned total = grid->blocks.count() / grid->cluster;
    std::vector<unsigned> order(total);
    for (unsigned b = 0; b < total; ++b) order[b] = schedule == 1 ? total - 1 - b : b;
    if (schedule > 1) {
        for (unsigned b = total; b > 1; --b) std::swap(order[b - 1], order[random() % b]);
    }
    thread_local Wave wave;
    unsigned resident = schedule > 1 && grid->cluster < RESIDENT ? RESIDENT / grid->cluster : 1;
    for (unsigned first = 0; first < total && grid->error.empty(); first += resident) {
        wave.start(&order[first], std::min(resident, total - first));
        if (schedule > 1) {
            skewed(wave, random);
        } else {
            in_order(wave, schedule == 1);
        }
        if (grid->error.empty() && !wave.done()) grid->error = wave.deadlock();
    }
    if (!grid->error.empty()) {
        // Threads that will never end: their stacks may be used again.
        for (Thread& thread : wave.threads) {
            if (thread.stack && !thread.finished) free_stacks.push_back(thread.stack);
        }
    }
}

} // namespace
} // namespace emu

// Runs a kernel, in clusters of `widest` blocks at most, where it is cooperative with `together` blocks at most; answers null
// or what went wrong, valid until the next launch on this thread of the host.
extern "C" const char* emu_launch(const char* name, const unsigned* blocks, const unsigned* threads,
                                  unsigned shared_bytes, void** arguments, const unsigned* sizes, unsigned count,
                                  uint64_t schedule, unsigned widest, unsigned together) {
    thread_local std::string answer;
    auto found = emu::entries().find(name);
    if (found == emu::entries().end()) {
        answer = std::string("no kernel is called ") + name;
        return answer.c_str();
    }
    emu::Grid grid{};
    grid.kernel = name;
    grid.blocks = {blocks[0], blocks[1], blocks[2]};
    grid.threads = {threads[0], threads[1], threads[2]};
    grid.shared_bytes = shared_bytes;
    grid.body = found->second.body;
    grid.arguments = arguments;
    grid.error = emu::check_arguments(found->second, sizes, count);
    bool whole = found->second.cluster == emu::WHOLE_GRID;
    if (whole && !together) grid.error = "its blocks wait for each other, so the launch must be cooperative";
    if (whole && together && grid.blocks.count() > together) grid.error = "the device cannot run so many blocks at once";
    if (grid.blocks.count() == 0) grid.error = "a grid has at least a block";
    grid.whole = whole;
    grid.cluster = whole ? grid.blocks.count() : found->second.cluster;
    if (!whole && grid.cluster > widest) grid.error = "the device has no clusters of so many blocks";
    if (grid.error.empty() && grid.blocks.x % grid.cluster != 0) grid.error = "a row of blocks is no whole number of clusters";
    if (grid.threads.count() == 0 || grid.threads.count() > 1024) grid.error = "a block has 1 to 1024 threads";
    if (grid.error.empty()) {
        emu::grid = &grid;
        emu::run(schedule);
        emu::grid = nullptr;
    }
    if (grid.error.empty()) return nullptr;
    answer = std::string(name) + ": " + grid.error;
    return answer.c_str();
}
