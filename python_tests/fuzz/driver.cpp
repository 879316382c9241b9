// Coverage-guided fuzzing: inputs that reach new code are kept and changed further.
//   driver HARNESS --runs N --seed N [--seconds N] [--crash FILE]     prints one JSON line
//   driver HARNESS --input FILE                                       runs one input
// Harnesses are compiled with sanitizers and -fsanitize-coverage=trace-pc, which calls __sanitizer_cov_trace_pc at every
// branch; this file is not.
#include <sanitizer/common_interface_defs.h>

#include <chrono>
#include <csignal>
#include <string>

#include "fuzz.h"

namespace {

constexpr size_t kMap = 8192, kLongest = 768;
uint8_t hits[kMap], seen[kMap];
std::vector<uint8_t> current;
std::string crash_file;

struct Random {
  uint64_t state;
  uint64_t next() {  // splitmix64
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  size_t below(size_t limit) { return limit ? next() % limit : 0; }
};

void save_current() {
  if (crash_file.empty()) return;
  if (FILE* file = std::fopen(crash_file.c_str(), "wb")) {
    std::fwrite(current.data(), 1, current.size(), file);
    std::fclose(file);
  }
}

void change(std::vector<uint8_t>& input, Random& random, const std::vector<std::vector<uint8_t>>& corpus) {
  static const uint8_t edges[] = {0, 1, 2, 7, 8, 63, 64, 65, 127, 128, 199, 200, 250, 255};
  for (size_t times = 1 + random.below(4); times-- > 0;) {
    const size_t kind = random.below(7), size = input.size();
    const size_t at = random.below(size + 1), length = 1 + random.below(size - at < 16 ? size - at : 16);
    if (kind == 0 || size == 0) {
      std::vector<uint8_t> fresh(1 + random.below(16));
      for (uint8_t& one : fresh) one = uint8_t(random.next());
      input.insert(input.begin() + at, fresh.begin(), fresh.end());
    } else if (kind == 1) {
      input[random.below(size)] ^= uint8_t(1u << random.below(8));
    } else if (kind == 2) {
      input[random.below(size)] = uint8_t(random.next());
    } else if (kind == 3) {
      input[random.below(size)] = edges[random.below(sizeof(edges))];
    } else if (kind == 4 && at + length <= size) {
      input.erase(input.begin() + at, input.begin() + at + length);
    } else if (kind == 5 && at + length <= size) {
      const std::vector<uint8_t> block(input.begin() + at, input.begin() + at + length);
      input.insert(input.begin() + at, block.begin(), block.end());
    } else {
      const std::vector<uint8_t>& other = corpus[random.below(corpus.size())];
      const size_t from = random.below(other.size());
      input.resize(at);
      input.insert(input.end(), other.begin() + from, other.end());
    }
  }
  if (input.size() > kLongest) input.resize(kLongest);
}

uint8_t level_of(uint8_t count) {  // one bit for 1, 2, 3, 4-7, 8-15, 16-31, 32-127, 128 and more
  return count <= 3 ? uint8_t(1u << (count - 1)) : count < 8 ? 8 : count < 16 ? 16 : count < 32 ? 32 : count < 128 ? 64 : 128;
}

// Whether the last run reached a branch that none had reached, or more often than any had.
bool is_new() {
  bool found = false;
  for (size_t word = 0; word < kMap; word += 8) {
    uint64_t any;
    std::memcpy(&any, hits + word, 8);
    if (!any) continue;
    for (size_t i = word; i < word + 8; ++i) {
      if (!hits[i]) continue;
      const uint8_t level = level_of(hits[i]);
      found |= !(seen[i] & level);
      seen[i] |= level;
      hits[i] = 0;
    }
  }
  return found;
}

void run(fuzz::Target target, const std::vector<uint8_t>& input) {
  current = input;
  const std::vector<uint8_t> exact(input);  // no spare room behind: reading past the end is seen
  target(exact.data(), exact.size());
}

}  // namespace

extern "C" void __sanitizer_cov_trace_pc() {
  uint8_t& count = hits[(reinterpret_cast<uintptr_t>(__builtin_return_address(0)) * 0x9e3779b1u >> 7) % kMap];
  count = uint8_t(count + (count != 255));
}

int main(int argc, char** argv) {
  std::string name = argc > 1 ? argv[1] : "", input_file;
  uint64_t runs = 1000000, seed = 1;
  double seconds = 1e18;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--runs") runs = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--seed") seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--seconds") seconds = std::strtod(argv[i + 1], nullptr);
    if (option == "--crash") crash_file = argv[i + 1];
    if (option == "--input") input_file = argv[i + 1];
  }
  fuzz::Harness* harness = fuzz::Harness::first();
  while (harness && name != harness->name) harness = harness->next;
  if (!harness) {
    for (harness = fuzz::Harness::first(); harness; harness = harness->next) std::puts(harness->name);
    return 2;
  }
  std::signal(SIGABRT, [](int) {
    save_current();
    std::_Exit(134);
  });
  __sanitizer_set_death_callback(save_current);
  if (!input_file.empty()) {
    std::vector<uint8_t> input(1 << 16);
    FILE* file = std::fopen(input_file.c_str(), "rb");
    if (!file) return 2;
    input.resize(std::fread(input.data(), 1, input.size(), file));
    std::fclose(file);
    run(harness->target, input);
    return 0;
  }

  Random random{seed};
  std::vector<std::vector<uint8_t>> corpus = {{0}};
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  uint64_t done = 0;
  for (; done < runs && (done % 256 || elapsed() < seconds); ++done) {
    std::vector<uint8_t> input = corpus[random.below(corpus.size())];
    change(input, random, corpus);
    run(harness->target, input);
    if (is_new()) corpus.push_back(input);
  }
  size_t branches = 0;
  for (const uint8_t levels : seen) branches += levels != 0;
  std::printf("{\"harness\": \"%s\", \"seed\": %llu, \"runs\": %llu, \"seconds\": %.1f, \"inputs_kept\": %zu, "
              "\"branches\": %zu}\n",
              harness->name, (unsigned long long)seed, (unsigned long long)done, elapsed(), corpus.size(), branches);
}
